"""Where steps and flows may be defined, and what may go between them: scripts, notebooks, closures, own classes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

RESUME = """
from headrace.frontends.native.launch import Launch
from headrace.frontends.native.resume import resume_run
from headrace import wiring
ended = resume_run(wiring.scope_here().metadata.run("train", 1), Launch(scope=wiring.scope_here()))
print("value", ended.value, "state", ended.run.state, "session", ended.run.session)
"""


def test_definitions_of_a_script_are_one_thing_in_all_processes(project: Project) -> None:
    """Classes and functions of ``__main__`` pass between steps, and a resume from another process knows them."""
    project.succeed(
        """
        import dataclasses, enum

        class Kind(enum.Enum):
            SMALL = 1

        @dataclasses.dataclass
        class Model:
            kind: Kind
            scores: list

            def best(self):
                return max(self.scores)

        class Problem(Exception):
            pass

        @step
        def fit(n):
            with open("ran.txt", "a") as file:
                file.write("x")
            return Model(Kind.SMALL, list(range(n)))

        @step
        def use(model):
            assert type(model) is Model and model.kind is Kind.SMALL
            if not os.path.exists("go"):
                raise Problem("not yet")
            return model.best()

        @flow
        def train(n: int = 4):
            model = fit(n)
            assert type(model) is Model
            try:
                return use(model)
            except Problem:
                if os.path.exists("give_up"):
                    return -1
                raise

        if __name__ == "__main__":
            open("give_up", "w").close()
            print(train())
            os.remove("give_up")
        """
    )
    (project.path / "go").touch()
    project.write(RESUME, "again.py")
    done = project.finish(project.start("again.py"))
    assert "value 3 state succeeded session 2" in done.out, done.err
    assert (project.path / "ran.txt").read_text() == "x"


def test_code_without_a_file(project: Project) -> None:
    code = """
from headrace import flow, step
import dataclasses

@dataclasses.dataclass
class Model:
    n: int

@step
def fit(n):
    return Model(n + 1)

@step(isolated=True)
def use(model):
    return type(model).__name__, model.n

@flow
def train(n: int = 1):
    return use(fit.submit(n)), fit(5)

print(train())
print(train(n=7))
"""
    done = project.finish(project.start("-c", code))
    assert done.out.splitlines() == [
        "(('Model', 2), Model(n=6))",
        "(('Model', 8), Model(n=6))",
    ], done.err
    assert project.last().entry == ":train"


def test_cells_of_a_notebook(project: Project) -> None:
    """Definitions that change between two runs of one process: new code is used, new steps are found."""
    cells = [
        "from headrace import flow, step",
        "def helper(n):\n    return n * 2",
        "@step\ndef fit(n):\n    return helper(n)",
        "@flow\ndef train(n: int = 3):\n    return fit(n)",
        "results.append(train())",
        "def helper(n):\n    return n * 3",
        "results.append(train())",
        "@step\ndef fit(n):\n    return helper(n) + 100",
        "results.append(train())",
        "class Point:\n    def __init__(self, x):\n        self.x = x",
        "@step\ndef make():\n    return Point(4)",
        "@flow\ndef points():\n    return fit(make().x)",
        "results.append(points())",
        "class Point:\n    def __init__(self, x):\n        self.x = x * 10",
        "results.append(points())",
        "for r in results: print(r)",
    ]
    project.write(
        f"""
        import types
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        module.__dict__["results"] = []
        for number, cell in enumerate({cells!r}):
            exec(compile(cell, f"<ipython-input-{{number}}>", "exec"), module.__dict__)
        """,
        "kernel.py",
    )
    done = project.finish(project.start("kernel.py"))
    assert done.out.split() == ["6", "9", "109", "112", "220"], done.err


def test_a_kernel_with_threads(project: Project) -> None:
    """A process that cannot be forked starts its workers afresh and sends them what has no importable name."""
    text = """
    import threading, time
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

    class Model:
        def __init__(self, n):
            self.n = n

    @step
    def fit(n):
        return Model(n)

    def make_step(k):
        @step(name=f"local-{k}")
        def local(model):
            return model.n + k
        return local

    @step
    def call(function, n):
        return function(n).n + fit(n).n + (sub(n) if n else 0)

    @flow
    def sub(n):
        return call(fit, 0) + n

    @flow
    def train():
        assert call(fit, 4) == 12
        return [make_step(k)(fit.submit(k)) for k in range(3)]

    if __name__ == "__main__":
        print("value", train())
    """
    assert "value [0, 2, 4]" in project.succeed(text)
    code = "\n".join(line[4:] for line in text.splitlines())
    done = project.finish(project.start("-c", "from headrace import flow, step\n" + code))
    assert "value [0, 2, 4]" in done.out, done.err


def test_closures_lambdas_and_nested_steps(project: Project) -> None:
    text = """
    import functools

    def make(k):
        @step(name=f"times-{k}")
        def times(n):
            return n * k
        return times

    named = step(name="double")(lambda n: n * 2)

    @step
    def apply(function, n):
        return function(n)

    @step
    def give():
        offset = 5
        return lambda n: n + offset

    def logged(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            print("calling", function.__name__)
            return function(*args, **kwargs)
        return wrapper

    @step
    @logged
    def wrapped(a, b=2):
        return a + b

    @flow
    def train():
        @step
        def inside(n):
            return n + 1000

        late = [make(k) for k in (3, 4)]
        return [
            [one(10) for one in late],
            named(4),
            apply(lambda n: n - 1, 3),
            apply(functools.partial(pow, 2), 5),
            apply(give.submit(), 1),
            inside(1),
            wrapped(1),
            wrapped(1, b=5),
            apply(len, [1, 2]),
        ]

    if __name__ == "__main__":
        print("value", train())
    """
    assert "value [[30, 40], 8, 2, 32, 6, 1001, 3, 6, 2]" in project.succeed(text)


def test_two_steps_of_one_name(project: Project) -> None:
    (project.path / "other.py").write_text("from headrace import step\n@step\ndef fit(n):\n    return n + 1\n")
    text = """
    import other

    @step
    def fit(n):
        return n + 10

    @flow
    def train():
        return fit(1), other.fit(1)

    if __name__ == "__main__":
        print("value", train())
    """
    assert "value (11, 2)" in project.succeed(text)
    assert sorted({t.step for t in project.tasks()}) == ["fit", "other.fit"]
    text = """
    def make(k):
        @step
        def fit(n):
            return n + k
        return fit

    def other():
        @step
        def fit(n):
            return -n
        return fit

    @flow
    def train():
        return make(1)(1), make(2)(1), other()(1)

    if __name__ == "__main__":
        print("value", train())
    """
    assert "value (2, 3, -1)" in project.succeed(text)
    project.write(RESUME, "again.py")
    done = project.finish(project.start("again.py"))
    assert "value (2, 3, -1)" in done.out and len(project.tasks()) == 3, done.err


def test_modules_packages_and_relative_imports(project: Project) -> None:
    package = project.path / "work"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "tools.py").write_text("class Tool:\n    def __init__(self, n): self.n = n\n")
    (package / "main.py").write_text(
        "from headrace import flow, step\nfrom .tools import Tool\n"
        "@step\ndef fit(n): return Tool(n)\n@step(isolated=True)\ndef use(t): return t.n\n"
        "@flow\ndef train():\n    return use(fit.submit(3))\n"
        "if __name__ == '__main__': print('value', train())\n"
    )
    done = project.finish(project.start("-m", "work.main"))
    assert "value 3" in done.out, done.err


def test_large_arrays_go_by_future_and_by_value_and_are_kept_once(project: Project) -> None:
    text = """
    import numpy as np

    @step
    def make(mib):
        return np.ones(mib << 17)

    @step
    def sum_and_spoil(a):
        total = float(a.sum())
        a *= 2
        return total

    @step
    def twice(a):
        return a * 2

    @flow
    def train():
        future = make.submit(64)
        by_future = [f.result() for f in sum_and_spoil.map([future, future])]
        value = future.result()
        by_value = [sum_and_spoil(value), sum_and_spoil(value)]
        doubled = twice(value)
        return by_future, by_value, float(doubled.sum()), sum_and_spoil([value, doubled][1])

    if __name__ == "__main__":
        print("value", train())
    """
    n = float(64 << 17)
    assert f"value ({[n, n]}, {[n, n]}, {2 * n}, {2 * n})" in project.succeed(text)
    sizes = [f.stat().st_size for f in (project.home / "artifacts").rglob("*") if f.is_file()]
    assert len([s for s in sizes if s >= 64 << 20]) == 2
    edges = {(e.parent_step, e.child_step) for e in project.metadata.edges(project.last().id)}
    assert ("make", "twice") in edges and ("twice", "sum_and_spoil") in edges


PARAMETERS = """
import dataclasses, enum
from pathlib import Path
from typing import Literal, Optional

class Mode(enum.Enum):
    FAST = "fast"
    BEST = "best"

@dataclasses.dataclass
class Config:
    depth: int
    rate: float = 0.5

@step
def show(**values):
    return {name: repr(value) for name, value in values.items()}

@flow
def train(
    n: int = 1, rate: float = 0.5, flag: bool = False, name: str = "x", path: Path = Path("a.csv"),
    sizes: list[int] = [1], table: dict[str, int] = {}, kind: Literal["a", "b"] = "a", mode: Mode = Mode.FAST,
    config: Config = Config(2), maybe: Optional[int] = None,
):
    import json
    print(json.dumps(show(n=n, rate=rate, flag=flag, name=name, path=path, sizes=sizes, table=table, kind=kind,
                          mode=mode, config=config, maybe=maybe)))

if __name__ == "__main__":
    exec(os.environ["CALL"])
"""

EXPECTED = {
    "n": "3",
    "rate": "2.0",
    "flag": "True",
    "name": "'y z'",
    "path": "PosixPath('b.csv')",
    "sizes": "[1, 2]",
    "table": "{'a': 1}",
    "kind": "'b'",
    "mode": "<Mode.BEST: 'best'>",
    "config": "Config(depth=9, rate=0.5)",
    "maybe": "4",
}


@pytest.mark.parametrize(
    "call",
    [
        "train(3, 2, True, 'y z', path='b.csv', sizes=[1, 2], table={'a': 1}, kind='b', mode=Mode.BEST, "
        "config=Config(9), maybe=4)",
        "train.run(n=3, rate=2.0, flag=True, name='y z', path=Path('b.csv'), sizes=[1, 2], table={'a': 1}, kind='b', "
        "mode='best', config={'depth': 9}, maybe=4)",
        "train.main(['--n', '3', '--rate=2', '--flag', 'name=y z', '--path', 'b.csv', '--sizes', '[1, 2]', "
        "'--table', '{\"a\": 1}', '--kind', 'b', '--mode', 'best', '--config', '{\"depth\": 9}', '--maybe', '4'])",
    ],
)
def test_parameters_of_all_kinds(project: Project, call: str) -> None:
    out = project.succeed(PARAMETERS, CALL=call)
    assert json.loads(out.splitlines()[0]) == EXPECTED
    kept = {p.name: p.text for p in project.metadata.params([project.last().id])}
    assert kept["n"] == "3" and kept["sizes"] == "[1,2]" and set(kept) == set(EXPECTED)


def test_the_script_that_runs_keeps_its_stdin_and_prints_in_order(project: Project) -> None:
    text = """
    @step
    def say(n):
        print("from a step", n)
        return sys.stdin.read()

    @flow
    def train():
        print("before")
        assert say(1) == ""
        print("after")

    train()
    """
    assert project.succeed(text).splitlines() == ["before", "after"]
    assert project.log("say") == b"from a step 1\n"


def test_nothing_is_left_open_or_running_after_many_runs(project: Project) -> None:
    text = """
    import threading

    @step
    def add(a):
        return a + 1

    @flow
    def train():
        return add(1)

    def target(fd):
        try:
            return os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            return ""

    def count():
        files = [target(fd) for fd in os.listdir("/proc/self/fd")]
        # SQLite keeps the file of a connection that closes while another holds a lock, and opens the next with it.
        of_database = sum("metadata.db" in one for one in files)
        return len(files) - of_database, of_database // 8, threading.active_count()

    train()
    before = count()
    for _ in range(20):
        train()
    print(before == count(), before, count())
    """
    assert project.succeed(text).startswith("True")


def test_a_logging_set_up_of_the_script_works_in_steps(project: Project) -> None:
    text = """
    import logging
    logging.basicConfig(level=logging.INFO, format="%(name)s:%(message)s")
    log = logging.getLogger("mine")

    @step
    def work():
        log.info("in a step")

    @flow
    def train():
        log.info("in the flow")
        work()

    train()
    """
    done = project.run(text)
    assert done.code == 0 and done.err == "mine:in the flow\n"
    assert project.log("work", stream="err") == b"mine:in a step\n"


DECORATED = """
import asyncio, functools

def logged(function):
    @functools.wraps(function)
    def outer(*args, **kw):
        print("begins")
        return function(*args, **kw)
    return outer

def waited(function):
    @functools.wraps(function)
    async def outer(*args, **kw):
        print("begins")
        return await function(*args, **kw)
    return outer

def driven(function):
    @functools.wraps(function)
    def outer(*args, **kw):
        print("begins")
        return asyncio.run(function(*args, **kw))
    return outer

def given(name):
    def decorate(function):
        @functools.wraps(function)
        def outer(*args, **kw):
            return function(*args, **kw)
        return outer
    return decorate
"""


@pytest.mark.parametrize(
    ("decorators", "kind"),
    [
        ("@logged", "def"),
        ("@given('x')\n@logged", "def"),
        ("@logged", "async def"),
        ("@waited", "async def"),
        ("@driven", "async def"),
        ("@logged\n@waited", "async def"),
    ],
)
def test_a_flow_above_a_decorator_has_the_parameters_of_what_it_wraps(
    project: Project, decorators: str, kind: str
) -> None:
    (project.path / "decorators.py").write_text(DECORATED)
    wait = "await " if "async" in kind else ""
    out = project.succeed(f"""
from decorators import *

@step
{kind} double(n):
    return 2 * n

@flow
{decorators}
{kind} train(n: int = 3, *, seed: int = 1):
    return {wait}double(n) + seed

if __name__ == "__main__":
    print([train(), train(5), train(n=7), train(4, seed=0), train.run(n=1, seed=5).result])
    try:
        train("five")
    except headrace.ParameterError as error:
        print(error)
""")
    assert "[7, 11, 15, 8, 7]" in out and out.count("begins") >= 5, out
    assert "parameter 'n': expected int, got 'five'" in out
    done = project.finish(project.start("-m", "headrace", "run", "train.py", "--n", "6"))
    assert "13" in done.out, done.out + done.err
    assert project.last().entry.endswith("train.py:train")


def test_keywords_without_a_wrapped_function_are_refused(project: Project) -> None:
    err = project.fail("@flow\ndef train(**kw):\n    pass\n\ntrain()\n")
    assert "flow 'train' takes **kwargs" in err
