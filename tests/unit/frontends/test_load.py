from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from headrace.frontends.native.load import currently_loading, find_flows, load_file, load_flow
from headrace.model.errors import FlowLoadError

FLOW = """
class Flow:
    __headrace_flow__ = True
    def __init__(self, func):
        self.__wrapped__ = func
        self.name = func.__name__.replace("_", "-")
"""


@pytest.fixture(autouse=True)
def clean_imports() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fakeflow.py").write_text(FLOW)
    write(tmp_path, "one_flow", "from fakeflow import Flow\n@Flow\ndef train_it(): return 1\nother = train_it\n")
    write(tmp_path, "two_flows", "from fakeflow import Flow\nfrom one_flow import train_it\n" + TWO)
    return tmp_path


TWO = "@Flow\ndef first(): ...\n@Flow\ndef second(): ...\ndef helper(): ...\n"


def write(folder: Path, name: str, source: str) -> Path:
    path = folder / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(source))
    return path


def refused(target: str | Path) -> str:
    with pytest.raises(FlowLoadError) as caught:
        load_flow(str(target))
    return str(caught.value)


def test_a_file_with_one_flow(folder: Path) -> None:
    found = load_flow(str(folder / "one_flow.py"))
    assert found.flow.__wrapped__() == 1
    assert found.entry == f"{folder / 'one_flow.py'}:train_it"
    assert sys.modules["one_flow"] is found.module
    assert found.module.__name__ == "one_flow"
    assert sys.path[0] == str(folder)
    assert load_flow(found.entry).flow is found.flow
    assert currently_loading() == ""


def test_a_flow_by_name(folder: Path) -> None:
    file = folder / "two_flows.py"
    assert load_flow(f"{file}:second").flow.name == "second"
    assert load_file(file, "train_it").flow.name == "train-it"  # imported, but asked for
    assert load_file(folder / "one_flow.py", "train-it").flow.name == "train-it"
    assert list(find_flows(sys.modules["two_flows"])) == ["first", "second"]


def test_a_flow_in_a_module(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    write(folder, "pkg/__init__", "")
    write(folder, "pkg/inner", "from fakeflow import Flow\n@Flow\ndef go(): ...\n")
    found = load_flow("pkg.inner:go")
    assert found.entry == "pkg.inner:go"
    assert load_flow("pkg.inner").flow is found.flow
    assert refused("pkg.nothing:go") == "no file and no module named 'pkg.nothing' here"
    assert "no flow 'stop' in pkg.inner; flows in it: go" in refused("pkg.inner:stop")


def test_a_file_that_is_part_of_a_package(folder: Path) -> None:
    """As a run that ``python -m lpkg.sub.train`` began is resumed: by the path of the file."""
    (folder / "lpkg" / "sub").mkdir(parents=True)
    for init in ("lpkg/__init__.py", "lpkg/sub/__init__.py"):
        (folder / init).touch()
    (folder / "lpkg" / "util.py").write_text("NAME = 'util'\n")
    file = folder / "lpkg" / "sub" / "train.py"
    file.write_text("from lpkg.util import NAME\nfrom ..util import NAME as SAME\n" + FLOW + "@Flow\ndef fit(): ...\n")
    loaded = load_file(file)
    assert loaded.module.__name__ == "lpkg.sub.train"
    assert loaded.module.SAME == "util"
    file.with_name("other.py").write_text("import no_such_module_at_all\n")
    with pytest.raises(FlowLoadError, match="no_such_module_at_all"):
        load_file(file.with_name("other.py"))


def test_several_flows_must_be_told_apart(folder: Path) -> None:
    file = folder / "two_flows.py"
    assert refused(file) == f"{file} holds 2 flows; say which one:\n  {file}:first\n  {file}:second"
    assert refused(f"{file}:third") == f"no flow 'third' in {file}; flows in it: first, second"
    assert "'helper' in" in refused(f"{file}:helper")
    assert "is not a flow but a function: put @flow above it" in refused(f"{file}:helper")


def test_a_file_without_a_flow(folder: Path) -> None:
    file = write(folder, "plain_code", "from os.path import join\ndef work(): ...\nclass A: ...\n")
    assert refused(file) == (
        f"no flow in {file}: put @flow (from headrace import flow) above the function to run. Functions in it: work."
    )
    assert refused(f"{file}:go") == f"no flow 'go' in {file}; functions in it: work"


def test_files_that_are_not_there_or_not_python(folder: Path) -> None:
    assert refused(folder / "one_flo.py") == f"no such file: {folder / 'one_flo.py'}; did you mean one_flow.py?"
    assert refused(folder / "zzz.py") == f"no such file: {folder / 'zzz.py'}"
    assert refused("no-such") == "no such file: no-such"
    assert "names no file" in refused("")
    assert "is a folder" in refused(folder)
    (folder / "data.csv").write_text("a,b")
    (folder / "book.ipynb").write_text("{}")
    assert "data.csv is not a Python file" in refused(folder / "data.csv")
    assert "export the notebook" in refused(folder / "book.ipynb")
    (folder / "nulls.py").write_bytes(b"\0\0")
    assert "nulls.py" in refused(folder / "nulls.py")


def test_a_syntax_error_shows_the_line(folder: Path) -> None:
    file = write(folder, "broken", "def f():\n    x = (1,\n    return 3 +\n")
    assert refused(file).splitlines() == [f"{file}:2: SyntaxError: '(' was never closed", "    x = (1,", "        ^"]


def test_an_error_inside_shows_the_users_lines_only(folder: Path) -> None:
    write(folder, "failing_helper", "def f():\n    return 1 / 0\n")
    file = write(folder, "failing", "import failing_helper\nx = 1\nfailing_helper.f()\n")
    text = refused(file)
    assert text.startswith(f"{file} cannot be imported:\nTraceback (most recent call last):\n")
    assert text.endswith("ZeroDivisionError: division by zero")
    assert "load.py" not in text
    assert text.count("File ") == 2
    assert "failing" not in sys.modules
    missing = refused(write(folder, "missing_import", "import no_such_thing_at_all\n"))
    assert missing.endswith("ModuleNotFoundError: No module named 'no_such_thing_at_all'")
    assert "importlib" not in missing


def test_a_script_that_exits_is_refused(folder: Path) -> None:
    text = refused(write(folder, "exits", "import sys\nsys.exit(3)\n"))
    assert "exit code 3" in text
    assert '__name__ == "__main__"' in text


def test_the_main_guard_is_not_entered_and_the_file_knows_it_is_loaded(folder: Path) -> None:
    source = """
        from fakeflow import Flow
        from headrace.frontends.native.load import currently_loading
        seen = currently_loading()
        if __name__ == "__main__":
            raise SystemExit(1)
        @Flow
        def go(): ...
        """
    file = write(folder, "guarded", source)
    assert load_flow(str(file)).module.seen == str(file)


def test_an_edit_within_the_same_second_is_seen(folder: Path) -> None:
    for number in range(3):
        source = f"from fakeflow import Flow\nVALUE = {number}\n@Flow\ndef go(): ...\n"
        value = load_file(write(folder, "edited", source)).module.VALUE
        assert value == number
        del sys.modules["edited"]


def test_a_file_with_the_name_of_another_module(folder: Path) -> None:
    import queue

    file = write(folder, "queue", "from fakeflow import Flow\n@Flow\ndef go(): ...\n")
    found = load_flow(str(file))
    assert sys.modules["queue"] is queue
    assert sys.modules["flow_queue"] is found.module
    assert load_flow(str(file)).module is found.module


MAIN = """
import functools, os, pickle, sys
from fakeflow import Flow
from headrace.frontends.native.load import canonical_main

class Model:
    class Part:
        def run(self): ...
    @staticmethod
    def make(): ...
    @property
    def size(self): ...

def helper(): ...

@Flow
def train(): ...

@functools.lru_cache
def quick(): ...

loose = os.path.join
if __name__ == "__main__":
    name = canonical_main()
    assert canonical_main() == name
    print(name, Model.__module__, Model.Part.__module__, Model.Part.run.__module__, Model.make.__module__,
          Model.size.fget.__module__, helper.__module__, train.__wrapped__.__module__, quick.__module__,
          quick.__wrapped__.__module__, loose.__module__, __name__)
    sys.stdout.flush()
    sys.stdout.buffer.write(pickle.dumps((Model(), helper, Model.Part, quick)))
"""


def run(*command: str, cwd: Path) -> bytes:
    done = subprocess.run([sys.executable, *command], cwd=cwd, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def test_what_a_script_pickles_is_found_where_it_is_loaded(folder: Path) -> None:
    file = write(folder, "script_main", MAIN)
    names, _, pickled = run(str(file), cwd=folder).partition(b"\n")
    assert names.split() == [b"script_main"] * 10 + [b"posixpath", b"__main__"]
    module = load_file(file).module
    model, helper, part, quick = pickle.loads(pickled)
    assert type(model) is module.Model
    assert (helper, part, quick) == (module.helper, module.Model.Part, module.quick)


def test_a_module_run_by_name_keeps_its_full_name(folder: Path) -> None:
    write(folder, "pkg/__init__", "")
    write(folder, "pkg/entry", MAIN)
    assert run("-m", "pkg.entry", cwd=folder).startswith(b"pkg.entry pkg.entry pkg.entry")


@pytest.mark.parametrize("name", ["my-flow", "queue", "fakeflow"])
def test_other_scripts_are_left_alone(folder: Path, name: str) -> None:
    source = (
        MAIN if name != "fakeflow" else FLOW + MAIN.replace("from fakeflow import Flow", "sys.modules['fakeflow'] = os")
    )
    write(folder, name, source)
    assert run(f"{name}.py", cwd=folder).startswith(b"__main__ __main__ __main__")


def test_without_a_file_nothing_happens(folder: Path) -> None:
    assert run("-c", MAIN, cwd=folder).startswith(b"__main__ __main__")
