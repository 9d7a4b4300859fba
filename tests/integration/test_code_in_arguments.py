"""What decides whether a result is used again: code in arguments, variables of a step, written-out defaults."""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

#: ``VALUE`` is what gets edited; ``ARGUMENT`` is the call's; ``use`` never names what it is given.
FLOW = """
import dataclasses, enum, functools, operator
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
import plugins

def clean(x):
    return helper(x)

def helper(x):
    return x + VALUE

def double(x, by=2):
    return x * by

class Base:
    def shift(self, x):
        return x + VALUE

class Model(Base):
    def __call__(self, x):
        return self.shift(x)

    @staticmethod
    def plain(x):
        return x + VALUE

    class Inner:
        def __call__(self, x):
            return x + VALUE

@dataclasses.dataclass
class Point:
    x: int = 1

    def __call__(self, x):
        return self.x * 0 + x + VALUE

class Mode(enum.Enum):
    FAST = "fast"

    def __call__(self, x):
        return x + VALUE

class Shift(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return [[x + VALUE] for (x,) in X]

class Pipeline:
    pass

@functools.lru_cache
def cached(x):
    return x + VALUE

@functools.singledispatch
def chosen(x):
    raise TypeError(x)

@chosen.register
def _(x: int):
    return x + VALUE

def apply(it, x):
    return it.fit_transform([[x]])[0][0] if hasattr(it, "fit_transform") else first(it)(x)

def first(it):
    if isinstance(it, (list, tuple)):
        return first(it[0])
    return first(it["f"]) if isinstance(it, dict) else it

@step(cache=True)
def use(it, x):
    return apply(it, x)

@step
def last(value):
    if not os.path.exists("ready"):
        raise ValueError("not ready")
    return value

@step
def make():
    return ARGUMENT

@flow
def train():
    return last(use(CALL, 1))

if __name__ == "__main__":
    train()
"""

ARGUMENTS = {
    "a function": "clean",
    "a function in a list": "[clean]",
    "a function under its own name": "{'f': clean, 'clean': clean}",
    "a partial": "functools.partial(double, by=VALUE)",
    "a partial of a helper": "functools.partial(clean)",
    "a method of an instance": "Model().shift",
    "a static method": "Model.plain",
    "an instance": "Model()",
    "an instance in a tuple": "(Model(), 3)",
    "a class within a class": "Model.Inner()",
    "a class": "(functools.partial(getattr(operator, 'call', None) or (lambda f, *a: f(*a)), Model()), Model)",
    "a dataclass": "Point()",
    "a member of an enumeration": "Mode.FAST",
    "a step of a pipeline": "make_pipeline(Shift())",
    "a function of a pipeline": "make_pipeline(FunctionTransformer(plugins.shift))",
    "a cached function": "cached",
    "a dispatching function": "chosen",
    "a lambda that calls a function": "lambda x: plugins.shift([[x]])[0][0]",
}
PLUGINS = """
def shift(X):
    return [[x + VALUE] for (x,) in X]
"""


class Outcome(NamedTuple):
    """What a run returned, and how much of it ran."""

    result: Any
    executed: int


def write(project: Project, argument: str, value: int, *, by_future: bool = False) -> None:
    call = "make.submit()" if by_future else argument
    text = FLOW.replace("ARGUMENT", argument).replace("CALL", call)
    project.write(text.replace("VALUE", str(value)))
    project.write(PLUGINS.replace("VALUE", str(value)), "plugins.py")


def headrace(project: Project, *arguments: str) -> str:
    done = project.finish(project.start("-m", "headrace", *arguments))
    return done.out


def outcome(project: Project, *arguments: str) -> Outcome:
    view = json.loads(headrace(project, *arguments, "--json"))
    return Outcome(ast.literal_eval(view["result"]["text"]) if view["result"] else None, view["executed"])


@pytest.mark.parametrize("argument", ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_an_edit_of_code_in_an_argument_is_noticed(project: Project, argument: str) -> None:
    write(project, argument, 10)
    outcome(project, "run", "train.py")
    write(project, argument, 20)
    (project.path / "ready").touch()
    assert outcome(project, "resume", "train/1") == ((20 if "double" in argument else 21), 2)
    assert outcome(project, "run", "train.py") == ((20 if "double" in argument else 21), 1)  # ``use`` from the cache


@pytest.mark.parametrize("argument", ["clean", "[Model()]", "make_pipeline(Shift())"])
def test_an_edit_of_code_in_a_result_is_noticed_where_the_result_is_used(project: Project, argument: str) -> None:
    write(project, argument, 10, by_future=True)
    (project.path / "ready").touch()
    assert outcome(project, "run", "train.py").result == 11
    write(project, argument, 20, by_future=True)
    assert outcome(project, "run", "train.py").result == 21
    assert outcome(project, "run", "train.py") == (21, 2)  # ``make`` and ``last`` do not cache


def test_explain_names_the_code_of_the_argument_that_changed(project: Project) -> None:
    write(project, "clean", 10)
    outcome(project, "run", "train.py")
    write(project, "clean", 20)
    (project.path / "ready").touch()
    outcome(project, "resume", "train/1")
    said = json.loads(headrace(project, "explain", "train/1/use/1", "--json"))
    assert said["verdict"] == "ran again"
    assert said["code_changed"] == ["train.helper in argument it"]
    assert "train.clean in argument it" in said["code_parts"]
    outcome(project, "run", "train.py")
    assert json.loads(headrace(project, "explain", "train/2/use/1", "--json"))["verdict"] == "cached"


def test_an_edit_beside_the_code_of_the_argument_changes_nothing(project: Project) -> None:
    write(project, "clean", 10)
    (project.path / "ready").touch()
    outcome(project, "run", "train.py")
    text = (project.path / "train.py").read_text()
    (project.path / "train.py").write_text(text.replace("by=2", "by=3") + "\n# a comment\n")
    assert outcome(project, "run", "train.py") == (11, 1)


ENVIRONMENT = """
@step(cache=True, OPTIONS)
def scaled():
    return [os.environ.get("SCALE", "none")]

@step
def last(value):
    if not os.path.exists("ready"):
        raise ValueError("not ready")
    return value

@flow
def train():
    return last(scaled())
"""


@pytest.mark.parametrize("how", ["env={'SCALE': %r}", "retries=0).options(env={'SCALE': %r}"])
def test_another_value_of_a_variable_of_the_step_is_another_input(project: Project, how: str) -> None:
    def text(value: str) -> str:
        options = how % value
        if "options" in options:
            head, _, tail = options.partition(").")
            body = ENVIRONMENT.replace("OPTIONS", head).replace("scaled()", f"scaled.{tail})()")
            return body.replace(f"def scaled.{tail})()", "def scaled()")
        return ENVIRONMENT.replace("OPTIONS", options)

    project.write(text("1"))
    outcome(project, "run", "train.py")
    project.write(text("2"))
    (project.path / "ready").touch()
    assert outcome(project, "resume", "train/1") == (["2"], 2)
    assert outcome(project, "run", "train.py") == (["2"], 1)
    said = json.loads(headrace(project, "explain", "train/1/scaled/1", "--json"))
    assert said["code_changed"] == ["environment variable SCALE"]


def test_retries_and_time_limits_of_a_step_are_no_inputs(project: Project) -> None:
    (project.path / "ready").touch()
    project.write(ENVIRONMENT.replace("OPTIONS", "retries=1"))
    assert outcome(project, "run", "train.py") == (["none"], 2)
    project.write(ENVIRONMENT.replace("OPTIONS", "retries=2, timeout=60, tags='x', cpu=0.5"))
    assert outcome(project, "run", "train.py") == (["none"], 1)


DEFAULTS = """
class Options:
    def __init__(self, depth):
        self.depth = depth

@step(cache=True)
def fit(a, b=2, *, c=(1, "x"), d=Options(3)):
    return [a, b, list(c), d.depth]

@step
def two():
    return 2

@flow
def train(which: int = 0):
    calls = [
        lambda: fit(1),
        lambda: fit(1, 2),
        lambda: fit(1, b=2),
        lambda: fit(1, c=(1, "x")),
        lambda: fit(1, 2, c=(1, "x"), d=Options(3)),
        lambda: fit(1, two.submit()),
        lambda: fit(1, b=3),
    ]
    return calls[which]()
"""


def test_a_call_that_writes_out_a_default_is_the_call_that_leaves_it_out(project: Project) -> None:
    project.write(DEFAULTS)
    assert outcome(project, "run", "train.py") == ([1, 2, [1, "x"], 3], 1)
    for which, executed in [(1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (6, 1)]:
        found = outcome(project, "run", "train.py", "--which", str(which))
        assert (which, found.executed) == (which, executed)
    project.write(DEFAULTS.replace("b=2,", "b=4,"))
    assert outcome(project, "run", "train.py") == ([1, 4, [1, "x"], 3], 1)
