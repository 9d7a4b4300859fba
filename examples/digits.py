"""Read handwritten digits, better and better, until it is good enough to publish.

The data are 1,797 scanned digits of 8 x 8 pixels that come with scikit-learn. Forests of trees compete in parallel;
the loop doubles the trees until the best forest reaches the goal. An ordinary `while`, an ordinary `if`: what is
decided depends on values that steps returned.

    headrace run examples/digits.py                    # or: python examples/digits.py
    headrace show digits/1                             # each step, its metrics and what it made
    headrace run examples/digits.py --goal 0.999       # out of reach: gives up after six rounds, publishes nothing
    headrace diff digits/1 digits/2
    headrace get digits/1/publish/1                    # a step's result, as the object it was

In Python, from anywhere:

    import headrace
    forest = headrace.Run("digits/1")["train"][3].result.model
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from headrace import flow, log_figure, log_metric, set_tag, step

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Digits(NamedTuple):
    """Pictures, one row of 64 pixels each, and the digits they show."""

    x: Floats
    y: Ints


class Split(NamedTuple):
    """What to learn from, what to choose by, what to judge the choice by. As a step's result: three artifacts."""

    train: Digits
    choose: Digits
    judge: Digits


class Candidate(NamedTuple):
    """A fitted model, and the share of the digits kept for choosing that it reads right."""

    model: Any
    accuracy: float


@step
def load(seed: int) -> Split:
    x, y = load_digits(return_X_y=True)
    x, judge_x, y, judge_y = train_test_split(x, y, test_size=0.25, random_state=seed)
    x, choose_x, y, choose_y = train_test_split(x, y, test_size=0.25, random_state=seed)
    return Split(Digits(x, y), Digits(choose_x, choose_y), Digits(judge_x, judge_y))


@step
def train(features: float, trees: int, data: Split) -> Candidate:
    """Fit a forest whose trees look at this share of the pixels at each branch."""
    model = ExtraTreesClassifier(trees, max_features=features, random_state=0).fit(*data.train)
    accuracy = float(model.score(*data.choose))
    print(f"{trees} trees, {features:.0%} of the pixels: {accuracy:.2%}")
    log_metric("accuracy", accuracy, step=trees)
    return Candidate(model, accuracy)


@step
def publish(best: Candidate, data: Split) -> str:
    """Judge the winner on digits it never met, draw which it takes for which, and mark the run."""
    accuracy = float(best.model.score(*data.judge))
    shown = ConfusionMatrixDisplay.from_estimator(best.model, *data.judge, colorbar=False)
    shown.ax_.set_title(f"{accuracy:.2%} of {len(data.judge.y)} unseen digits read right")
    log_figure("confusion", shown.figure_)
    log_metric("final_accuracy", accuracy)
    set_tag("published")
    return f"{best.model.n_estimators} trees, {accuracy:.2%} of unseen digits read right"


@flow
def digits(goal: float = 0.98, rounds: int = 6, seed: int = 0) -> float:
    data = load(seed)
    trees, best = 4, None
    while best is None or (best.accuracy < goal and rounds > 0):
        candidates = train.map([0.05, 0.1, 0.2, 0.4], trees=trees, data=data)
        best = max((c.result() for c in candidates), key=lambda c: c.accuracy)
        trees, rounds = trees * 2, rounds - 1
    if best.accuracy >= goal:
        print("published:", publish(best, data))
    else:
        print(f"not published: {best.accuracy:.2%} is below the goal of {goal:.2%}")
    return best.accuracy


if __name__ == "__main__":
    digits()
