"""What tasks leave in their process, what the flow sets of it, what cannot travel, what cannot be imported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

_THREAD = "import threading; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
KINDS = {"forked": ("", "@step"), "fresh": (_THREAD, "@step"), "isolated": ("", "@step(isolated=True)")}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> tuple[str, str]:
    """What starts a thread or not, and the decorator."""
    return KINDS[request.param]


def _run(project: Project, text: str, kind: tuple[str, str] = ("", "@step"), *argv: str) -> Any:
    thread, decorator = kind
    text = text.replace("@STEP", decorator).replace("THREAD", thread or "pass")
    out = project.succeed(text, *argv)
    return json.loads(out.splitlines()[-1])


# --- what a task changes stays with it ----------------------------------------------------------------------------

_CHANGES = """
import json, functools

COUNT = 0
SEEN = []
TABLE = {"a": [1]}
KEYS = {1}

class Box:
    held = 0
    def __init__(self): self.items = []

BOX = Box()

def helper(x=[]):
    x.append(1)
    return len(x)

def make():
    inner = 0
    @STEP
    def closed(i):
        nonlocal inner
        inner += 1
        return inner
    return closed

closed = make()

@STEP
def change(i):
    global COUNT
    COUNT += 1
    SEEN.append(i)
    TABLE["a"].append(2)
    KEYS.add(i + 10)
    Box.held += 1
    BOX.items.append(i)
    BOX.extra = i
    return [COUNT, len(SEEN), TABLE["a"], len(KEYS), Box.held, len(BOX.items), helper()]

@STEP
def read(i):
    return [COUNT, len(SEEN), TABLE["a"], len(KEYS), Box.held, len(BOX.items), hasattr(BOX, "extra")]

@flow(max_parallel=1)
def main():
    global COUNT
    out = [change(0), change(1), read(0)]
    COUNT = 10
    SEEN.append(0)
    return out + [change(2), change(3), read(1), closed(0), closed(1)]

if __name__ == "__main__":
    THREAD
    print(json.dumps(main()))
"""


def test_changes_of_a_task_are_gone_in_the_next(project: Project, kind: tuple[str, str]) -> None:
    first, second = [1, 1, [1, 2], 2, 1, 1, 1], [11, 2, [1, 2], 2, 1, 1, 1]
    untouched, later = [0, 0, [1], 1, 0, 0, False], [10, 1, [1], 1, 0, 0, False]
    assert _run(project, _CHANGES, kind) == [first, first, untouched, second, second, later, 1, 1]


_WRITES = """
import json
import settings
from settings import Base, Sub

MODE = "train"
GONE = 1

class Meta(type):
    def __setattr__(cls, name, value):
        if name == "rate":
            raise TypeError("closed")
        super().__setattr__(name, value)

class Closed(metaclass=Meta):
    rate = 1

def helper():
    return 1

def write():
    global MODE, NEW, GONE, helper
    WRITE

def known():
    return "NEW" in globals()

@STEP
def change(i):
    write()

@step(cache=True)
def look(i):
    return [
        MODE, "GONE" in globals() and GONE, settings.X, hasattr(settings, "Y"), settings.fn(), Sub.rate, Base.rate,
        hasattr(Base, "new"), Closed.rate, helper(), hasattr(helper, "calls"), known(), settings.Base().size(),
    ]

@flow(max_parallel=1)
def main():
    first = look(0)
    change(0)
    return [first, look(1)]

if __name__ == "__main__":
    THREAD
    print(json.dumps(main()))
"""
_WRITTEN = """
X = 1

def fn():
    return 1

class Base:
    rate = 1
    def size(self):
        return 1

class Sub(Base):
    pass
"""


@pytest.mark.parametrize(
    "write",
    [
        "MODE = 'eval'",
        "NEW = 1",
        "del GONE",
        "helper = lambda: 2",
        "settings.X = 99",
        "settings.Y = 1",
        "settings.fn = lambda: 99",
        "del settings.X; settings.X = 5",
        "Sub.rate = 99",
        "Base.new = 1",
        "Base.size = lambda self: 99",
        "Base().__class__.rate = 99",
        "helper.calls = 1",
        "type.__setattr__(Closed, 'rate', 99)",
        "setattr(settings, 'X', 99)",
        "globals()['MODE'] = 'eval'",
    ],
)
def test_names_that_a_task_only_writes_are_put_back(project: Project, write: str) -> None:
    project.write(_WRITTEN, "settings.py")
    for kind in ("forked", "fresh"):
        first, second = _run(project, _WRITES.replace("WRITE", write), KINDS[kind])
        assert first == second == ["train", 1, 1, False, 1, 1, 1, False, 1, 1, False, False, 1], kind


def test_submodule_that_a_task_imports_stays(project: Project) -> None:
    (project.path / "pack").mkdir()
    project.write("", "pack/__init__.py")
    project.write("X = 1", "pack/inner.py")
    text = """
import json
import pack

@STEP
def use(i):
    import pack.inner
    pack.other = pack.inner = pack.inner
    return [pack.inner.X, hasattr(pack, "other")]

@STEP
def later(i):
    import pack.inner
    return [pack.inner.X, hasattr(pack, "other")]

@flow(max_parallel=1)
def main():
    return [use(0), use(1), later(0)]

if __name__ == "__main__":
    print(json.dumps(main()))
"""
    assert _run(project, text) == [[1, True], [1, True], [1, False]]


def test_caches_of_functools_and_what_cannot_be_copied_stay_warm(project: Project) -> None:
    text = """
    import functools, json, threading

    class Pool:
        def __init__(self): self.lock, self.used = threading.Lock(), 0

    POOL = Pool()

    @functools.cache
    def model():
        return os.urandom(8).hex()

    @step
    def use(i):
        POOL.used += 1
        return model(), POOL.used

    @flow(max_parallel=1)
    def main():
        return [use(i) for i in range(3)]

    if __name__ == "__main__":
        print(json.dumps(main()))
    """
    answers = _run(project, text)
    assert len({name for name, _ in answers}) == 1
    assert [used for _, used in answers] == [1, 2, 3]


def test_tasks_of_other_values_in_one_worker_see_their_own(project: Project, kind: tuple[str, str]) -> None:
    text = """
    import json
    LIMIT, NAMES = 0, []

    @STEP
    def see(i):
        return LIMIT, list(NAMES)

    @STEP
    def other(i):
        return LIMIT

    @flow(max_parallel=1)
    def main():
        global LIMIT
        out = []
        for LIMIT in (0, 1, 0, 2, 1):
            NAMES.append(LIMIT)
            out.append(see.submit(len(out)))
            out.append(other.submit(len(out)))
        return [one.result() for one in out]

    if __name__ == "__main__":
        THREAD
        print(json.dumps(main()))
    """
    limits = [0, 1, 0, 2, 1]
    expected: list[object] = []
    for at, limit in enumerate(limits):
        expected += [[limit, limits[: at + 1]], limit]
    assert _run(project, text, kind) == expected


# --- environment, directory, arguments ----------------------------------------------------------------------------


def test_step_sees_environment_directory_and_arguments_of_its_call(project: Project, kind: tuple[str, str]) -> None:
    (project.path / "sub").mkdir()
    text = """
    import json

    @STEP
    def look(i):
        os.environ["LEFT"] = "by a task"
        return [os.environ.get(n) for n in ("KEY", "GONE", "OWN")] + [os.path.basename(os.getcwd()), sys.argv[1:]]

    @STEP
    def left(i):
        return os.environ.get("LEFT")

    @flow(max_parallel=1)
    def main():
        home = os.path.basename(os.getcwd())
        os.environ["KEY"] = "1"
        out = [look(0)]
        del os.environ["GONE"]
        os.chdir("sub")
        sys.argv.append("more")
        out.append(look(1))
        out.append(look.options(env={"OWN": "yes", "KEY": "own"})(2))
        os.chdir("..")
        sys.argv = ["x", "new"]
        os.environ["KEY"] = "2"
        out += [look(3), left(0)]
        return out, home

    if __name__ == "__main__":
        os.environ["KEY"] = "0"
        THREAD
        print(json.dumps(main()))
    """
    thread, decorator = kind
    text = text.replace("@STEP", decorator).replace("THREAD", thread or "pass")
    out, home = json.loads(project.succeed(text, "--rate", "5", GONE="there").splitlines()[-1])
    assert out == [
        ["1", "there", None, home, ["--rate", "5"]],
        ["1", None, None, "sub", ["--rate", "5", "more"]],
        ["own", None, "yes", "sub", ["--rate", "5", "more"]],
        ["2", None, None, home, ["new"]],
        None,
    ]


@pytest.mark.parametrize(
    ("setting", "question", "answer"),
    [
        ("os.environ['A'] = 'b'", "os.environ['A']", "b"),
        ("os.putenv('A', 'b'); os.environ.update(A='c')", "os.environ['A']", "c"),
        ("sys.argv[1:] = ['q']", "sys.argv[1:]", ["q"]),
        ("os.makedirs('deep', exist_ok=True); os.chdir('deep')", "os.path.basename(os.getcwd())", "deep"),
        ("globals()['MODE'] = 'set'", "MODE", "set"),
        ("import settings; settings.MODE = 'set'", "settings.MODE", "set"),
        ("import settings; settings.Options.mode = 'set'", "settings.describe()", "set"),
    ],
)
@pytest.mark.parametrize("place", ["flow", "main"])
def test_what_is_set_before_the_first_step_is_seen(
    project: Project, setting: str, question: str, answer: object, place: str
) -> None:
    project.write(
        "MODE = 'file'\nclass Options:\n    mode = 'file'\ndef describe():\n    return Options.mode\n", "settings.py"
    )
    text = f"""
    import json, settings
    MODE = "file"

    @STEP
    def look(i):
        return {question}

    @flow
    def main():
        {setting if place == "flow" else "pass"}
        return look(0)

    if __name__ == "__main__":
        {setting if place == "main" else "pass"}
        THREAD
        print(json.dumps(main()))
    """
    for one in ("forked", "fresh"):
        assert _run(project, text, KINDS[one]) == answer, one


# --- keys ---------------------------------------------------------------------------------------------------------

_KEYED = """
import json
RATE = 1
OPTS = {"a": 1}

class Config:
    depth = 1

def helper():
    return RATE, OPTS["a"], Config.depth

@step(cache=True)
def see(i):
    return helper()

@flow
def main():
    global RATE
    kind, value = os.environ.get("WHAT", "").partition("=")[::2]
    if kind == "rate":
        RATE = int(value)
    if kind == "opts":
        OPTS["a"] = int(value)
    if kind == "depth":
        Config.depth = int(value)
    out = see(0)
    if os.environ.get("FAIL"):
        raise ValueError("later")
    return out

if __name__ == "__main__":
    THREAD
    print(json.dumps(main()))
"""


@pytest.mark.parametrize("thread", ["pass", _THREAD])
def test_changed_values_are_other_entries_of_the_cache(project: Project, thread: str) -> None:
    project.write(_KEYED.replace("THREAD", thread))
    for number, (what, answer) in enumerate(
        [("", [1, 1, 1]), ("rate=2", [2, 1, 1]), ("opts=3", [1, 3, 1]), ("depth=4", [1, 1, 4]), ("rate=2", [2, 1, 1])]
    ):
        done = project.finish(project.start("train.py", WHAT=what))
        assert json.loads(done.out.splitlines()[-1]) == answer
        text = project.finish(project.start("-m", "headrace", "explain", f"main/{number + 1}/see/1")).out
        assert ("came from the cache" in text) == (number == 4), text


@pytest.mark.parametrize(
    ("what", "name"), [("rate=2", "train.RATE"), ("opts=3", "train.OPTS"), ("depth=4", "train.Config")]
)
def test_changed_value_makes_a_step_run_again_on_a_resume_and_explain_names_it(
    project: Project, what: str, name: str
) -> None:
    project.write(_KEYED.replace("THREAD", "pass").replace("(cache=True)", ""))
    assert project.finish(project.start("train.py", FAIL="1")).code == 1
    done = project.finish(project.start("-m", "headrace", "resume", "main/1", "--json", FAIL="1"))
    assert json.loads(done.out)["reused"] == 1
    done = project.finish(project.start("-m", "headrace", "resume", "main/1", "--json", WHAT=what))
    assert json.loads(done.out)["executed"] == 1
    assert name in project.finish(project.start("-m", "headrace", "explain", "main/1/see/1")).out


# --- what cannot travel, what cannot be imported -------------------------------------------------------------------

_OPEN = """
import json, sqlite3
DB = None
LOCKED = None

@STEP
def ask(i):
    return DB is None

@STEP
def again(i):
    return DB is None, LOCKED is None

@flow(max_parallel=1)
def main():
    global DB, LOCKED
    import threading
    DB = sqlite3.connect(":memory:")
    LOCKED = threading.Lock()
    return [ask(0), ask(1), again(0)]

if __name__ == "__main__":
    THREAD
    print(json.dumps(main()))
"""


@pytest.mark.parametrize("name", ["forked", "fresh"])
def test_what_cannot_travel_is_told_once_by_name(project: Project, name: str) -> None:
    thread, decorator = KINDS[name]
    done = project.run(_OPEN.replace("@STEP", decorator).replace("THREAD", thread or "pass"))
    assert json.loads(done.out.splitlines()[-1]) == [True, True, [True, True]]
    told = done.err + "".join(
        project.finish(project.start("-m", "headrace", "logs", f"main/1/{one}")).out for one in ("ask", "again")
    )
    assert told.count("reaches train.DB, but a sqlite3.Connection cannot be sent to a worker") == 1, told
    assert told.count("reaches train.LOCKED, but a _thread.lock cannot be sent") == 1, told


def test_nothing_is_told_of_what_an_import_makes(project: Project, kind: tuple[str, str]) -> None:
    text = """
    import json, sqlite3, threading, logging, re
    DB = sqlite3.connect(":memory:", check_same_thread=False)
    LOCK = threading.Lock()
    LOG = logging.getLogger("x")
    PATTERN = re.compile("a")
    FILE = open(__file__)

    @STEP
    def use(i):
        with LOCK:
            LOG.info("x")
            return DB.execute("select 1").fetchone()[0], bool(PATTERN.match("a")), FILE.closed

    @flow
    def main():
        return use(0)

    if __name__ == "__main__":
        THREAD
        print(json.dumps(main()))
    """
    thread, decorator = kind
    done = project.run(text.replace("@STEP", decorator).replace("THREAD", thread or "pass"))
    assert json.loads(done.out.splitlines()[-1]) == [1, True, False]
    assert done.err == ""
    assert "cannot be sent" not in project.finish(project.start("-m", "headrace", "logs", "main/1/use")).out


@pytest.mark.parametrize(
    ("top", "words"),
    [
        ("if __name__ != '__main__': raise ValueError('only as a script')", "only as a script"),
        ("if __name__ != '__main__': open('not-there.csv')", "not-there.csv"),
        ("if __name__ != '__main__': sys.exit(3)", "it ends the program while it is imported (exit code 3)"),
        ("import argparse; argparse.ArgumentParser().parse_args([] if __name__ == '__main__' else ['--no'])", "code 2"),
        ("if __name__ != '__main__': import no_such_module", "no_such_module"),
    ],
)
def test_file_that_cannot_be_imported_afresh_says_why(project: Project, top: str, words: str) -> None:
    text = f"""
    {top}

    @step
    def one(i):
        return i

    @flow
    def main():
        return one(0)

    if __name__ == "__main__":
        {_THREAD}
        main()
    """
    done = project.run(text)
    assert done.code == 1
    assert words in done.err, done.err
    assert "SIGKILL" not in done.err


def test_arguments_that_a_file_reads_when_it_is_imported_are_the_flows(project: Project) -> None:
    text = """
    import argparse, json
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, required=True)
    ARGS = parser.parse_args()

    @STEP
    def one(i):
        return ARGS.rate

    @flow
    def main():
        first = one(0)
        ARGS.rate += 1
        return first, one(1)

    if __name__ == "__main__":
        THREAD
        print(json.dumps(main()))
    """
    for one in ("forked", "fresh"):
        assert _run(project, text, KINDS[one], "--rate", "5") == [5, 6], one


def test_script_whose_name_is_no_module_sees_the_values_of_its_call(project: Project) -> None:
    text = """
    import json
    LIMIT, NAMES = 1, []

    def helper():
        return LIMIT, list(NAMES)

    @STEP
    def see(i):
        return helper()

    @flow
    def main():
        global LIMIT
        LIMIT = 2
        NAMES.append("a")
        first = see(0)
        LIMIT = 3
        return first, see(1)

    if __name__ == "__main__":
        THREAD
        print(json.dumps(main()))
    """
    for one in ("forked", "fresh"):
        thread, decorator = KINDS[one]
        done = project.run(text.replace("@STEP", decorator).replace("THREAD", thread or "pass"), name="my-flow.py")
        assert json.loads(done.out) == [[2, ["a"]], [3, ["a"]]], done.err


def test_proxies_that_stand_for_nothing_are_left_alone(project: Project, kind: tuple[str, str]) -> None:
    text = """
    import json

    class Proxy:
        @property
        def __class__(self):
            raise RuntimeError("no request")
        def __getattr__(self, name):
            raise RuntimeError("no request")

    REQUEST, COUNT = Proxy(), 1

    @STEP
    def see(i):
        return REQUEST is None, COUNT

    @flow
    def main():
        global COUNT
        COUNT = 2
        return see(0)

    if __name__ == "__main__":
        THREAD
        print(json.dumps(main()))
    """
    assert _run(project, text, kind) == [False, 2]


def test_what_only_the_program_defines_travels(project: Project, kind: tuple[str, str]) -> None:
    text = """
    import json
    REGISTRY = {}
    OPTIONS = None

    def score(x):
        return x

    @STEP
    def see(i):
        return score(10), sorted((k, f(1)) for k, f in REGISTRY.items()), OPTIONS and (OPTIONS.rate, OPTIONS.twice())

    @flow
    def main():
        return see(0)

    if __name__ == "__main__":
        # what follows is not there in a worker that imports the file
        def register(f):
            REGISTRY[f.__name__] = f
            return f

        class Options:
            rate = 3

            def twice(self):
                return 2 * self.rate

        @register
        def plus(x):
            return x + offset()

        def offset():
            return 100

        def better(x):
            return offset() + x

        @STEP
        def late(i):
            return offset() + i

        @flow
        def other():
            return late(1), see(1)

        REGISTRY["minus"] = lambda x: -x
        OPTIONS, score = Options(), better
        THREAD
        print(json.dumps([main(), other()]))
    """
    seen = [110, [["minus", -1], ["plus", 101]], [3, 6]]
    assert _run(project, text, kind) == [seen, [101, seen]]


@pytest.mark.parametrize(
    ("use", "told"), [("logging.info('x')", 1), ("LOG.info('x')", 1), ("helper()", 1), ("len('no log')", 0)]
)
def test_logging_that_the_flow_sets_up_is_told_of_once(project: Project, use: str, told: int) -> None:
    done = project.run(
        f"""
        import logging
        LOG = logging.getLogger("own")

        def helper():
            LOG.warning("x")

        @step
        def one(i):
            {use}

        @step
        def two(i):
            {use}

        @flow
        def main():
            logging.basicConfig(level=logging.DEBUG)
            one(0), one(1), two(0)

        if __name__ == "__main__":
            main()
        """
    )
    assert done.code == 0, done.err
    assert done.err.count("writes to a log, but what the flow sets up of logging") == told
