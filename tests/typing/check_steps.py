"""What mypy and pyright see of steps. Never run: `make lint` checks it with both, strictly.

A line marked `type: ignore` must be an error: an ignore that is not needed is one.
"""

from typing import NamedTuple, assert_type

from headrace import Future, as_completed, step, wait


class Model:
    score: float


class Split(NamedTuple):
    train: list[int]
    test: list[int]


@step
def fit(rows: list[int], depth: int = 2) -> Model:
    return Model()


@step(cpu=2, memory="4GiB", gpu=1, retries=2, timeout="10m", cache=True, isolated=True, tags=["slow"])
def tuned(rows: list[int], *, depth: int) -> Model:
    return Model()


@step()
def split(rows: list[int]) -> Split:
    return Split(rows[:1], rows[1:])


@step
async def fetch(url: str) -> bytes:
    return url.encode()


def plain(rows: list[int], depth: int = 2) -> Model:
    return Model()


def calls_keep_the_signature() -> None:
    assert_type(fit([1]), Model)
    assert_type(fit([1], depth=3), Model)
    assert_type(tuned([1], depth=3), Model)
    assert_type(split([1]), Split)
    assert_type(split([1]).train, list[int])
    assert_type(step(plain)([1], 2), Model)
    assert_type(step(cpu=2)(plain)([1], depth=2), Model)


def wrong_calls_are_refused() -> None:
    fit()  # type: ignore
    fit("text")  # type: ignore
    fit([1], width=3)  # type: ignore
    tuned([1], 3)  # type: ignore
    step(cpu=2)(plain)([1], depth="deep")  # type: ignore


def options_keep_it_too() -> None:
    assert_type(fit.options(memory="16GiB", retries=0)([1], depth=3), Model)
    assert_type(fit.options(cpu=0.5).submit([1]), Future[Model])
    fit.options(memory="16GiB")("text")  # type: ignore


def submit_and_map_return_futures() -> None:
    assert_type(fit.submit([1], depth=3), Future[Model])
    assert_type(fit.submit([1]).result(), Model)
    assert_type(fit.submit([1]).done(), bool)
    assert_type(fit.submit([1]).exception(), BaseException | None)
    assert_type(fit.submit([1]).cancel(), bool)
    assert_type(fit.map([[1], [2]], depth=3), list[Future[Model]])
    assert_type(split.submit([1]), Future[Split])
    # A future may stand for any argument of submit and map, which no ParamSpec can say.
    assert_type(fit.submit(split.submit([1]), depth=3), Future[Model])
    assert_type(max((f.result() for f in fit.map([[1]])), key=lambda m: m.score), Model)


def waiting_keeps_the_type() -> None:
    futures = fit.map([[1], [2]])
    for future in as_completed(futures):
        assert_type(future, Future[Model])
    done, pending = wait(futures)
    assert_type([f.result() for f in done], list[Model])
    assert_type([f.result() for f in pending], list[Model])


async def futures_can_be_awaited() -> None:
    assert_type(await fit.submit([1]), Model)


async def async_steps() -> None:
    assert_type(await fetch("url"), bytes)
    assert_type(fetch.submit("url"), Future[bytes])
    assert_type(fetch.map(["url"]), list[Future[bytes]])
    assert_type(await fetch.submit("url"), bytes)
