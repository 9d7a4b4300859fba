"""What mypy and pyright see of flows, tracking and the client. Never run: `make lint` checks it with both."""

from pathlib import Path
from typing import Any, Literal, assert_type

import headrace
from headrace import Run, flow, log_metric, log_metrics, log_params, set_tag, step


@step
def double(x: int) -> int:
    log_metric("x", x, step=1)
    log_metrics({"x": 1.0, "y": 2.0})
    log_params({"depth": 3})
    set_tag("fast")
    set_tag("owner", "me")
    return 2 * x


@flow
def train(
    path: Path = Path("data.csv"),
    depths: list[int] = [2, 4],
    mode: Literal["fast", "good"] = "fast",
) -> float:
    return float(sum(double(d) for d in depths))


@flow(name="training", tags=["nightly"], max_parallel=4)
def outer(rounds: int) -> float:
    """A flow may call another: it runs as a part of this one."""
    return max(train(depths=[n]) for n in range(rounds))


@flow
async def gather(n: int) -> int:
    return await double.submit(n)


def calls_return_the_result() -> None:
    assert_type(train(), float)
    assert_type(train(Path("x"), mode="good"), float)
    assert_type(outer(2), float)
    train(mode="bad")  # type: ignore
    outer()  # type: ignore
    outer("two")  # type: ignore


def run_returns_a_run() -> None:
    assert_type(train.run(depths=[1]), Run)
    assert_type(outer.run(rounds=3), Run)
    train.run(mode="bad")  # type: ignore
    outer.run()  # type: ignore


def the_client() -> None:
    run = headrace.Run("train/42")
    assert_type(run, Run)
    assert_type(run["double"][2].result, Any)
