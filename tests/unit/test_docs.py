"""The documentation is true: what it shows runs, what it names exists, what exists is named.

Blocks of a page that follow a mark are executed, page by page, in order, in a folder of the page's own:

- ``<!-- file: NAME -->``: the block becomes that file.
- ``<!-- edit: NAME -->``: each definition in the block replaces the one of its name in that file, or is put in front of
  the flow; imports go to the top.
- ``<!-- run -->``: Python is run by ``python FILE``, with ``<!-- run: prompt -->`` as if typed at a prompt; of a
  ``console`` block each line after ``$`` is a command, and its other lines must appear in the output, in order
  (numbers, times and bars may differ; ``...`` stands for anything). ``<!-- run: exit 1 -->`` expects that exit code.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import headrace
from headrace.cli.main import COMMANDS
from headrace.settings import Settings, read_settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "examples/README.md", ROOT / "bench/README.md", *DOCS.rglob("*.md")])
OWN = [page for page in PAGES if "reference" not in page.parts and not page.name.startswith("metaflow")]
GENERATED = ("make_reference.py", "make_diagrams.py")

_BLOCK = re.compile(r"(?:<!-- (file|edit|run)(?:: ([^>]*?))? -->\n)?^```(\w+)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A fenced block: ``mark`` (file, edit, run or empty) with its ``detail``, ``kind`` (python, console, ...)."""

    mark: str
    detail: str
    kind: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    return [Block(*(part or "" for part in found.groups())) for found in _BLOCK.finditer(page.read_text())]


def named(page: Path) -> str:
    """A page as tests are called by it."""
    return str(page.relative_to(ROOT))


# --- what is shown runs ------------------------------------------------------------------------------------------


class Folder:
    """Where the blocks of one page run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        own = {"HEADRACE_HOME": str(path / ".headrace"), "PYTEST_DEBUG_TEMPROOT": str(path)}
        self.env = {**clean, **own, "PATH": programs, "MPLBACKEND": "agg"}

    def execute(self, block: Block) -> None:
        """Do what the block's mark says."""
        if block.mark == "file":
            (self.path / block.detail).write_text(block.text)
        elif block.mark == "edit":
            file = self.path / block.detail
            file.write_text(edited(file.read_text(), block.text))
        elif block.mark == "run" and block.kind == "console":
            self._commands(block)
        elif block.mark == "run" and block.detail == "prompt":
            self._call([sys.executable, "-"], 0, block.text)
        elif block.mark == "run":
            (self.path / "example.py").write_text(block.text)
            self._call([sys.executable, "example.py"], 0)

    def _commands(self, block: Block) -> None:
        code = int(block.detail.removeprefix("exit ")) if block.detail else 0
        parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)
        assert not parts[0], f"a console block begins with a command: {parts[0]}"
        for place, part in enumerate(parts[1:], 2):
            command, _, expected = part.partition("\n")
            output = self._call(["bash", "-c", command], code if place == len(parts) else 0)
            check_shown(expected, output, command)

    def _call(self, argv: list[str], code: int, typed: str = "") -> str:
        done = subprocess.run(
            argv, cwd=self.path, env=self.env, input=typed, capture_output=True, text=True, check=False, timeout=100
        )
        output = done.stdout + done.stderr
        assert done.returncode == code, f"{shlex.join(argv)}: exit {done.returncode}\n{output}"
        return output


def edited(source: str, change: str) -> str:
    """``source`` with the definitions and imports of ``change``."""
    for node in ast.parse(change).body:
        text = "\n".join(change.splitlines()[_first_line(node) - 1 : node.end_lineno])
        lines = source.splitlines()
        there = ast.parse(source).body
        same = [other for other in there if _name(other) and _name(other) == _name(node)]
        if same:
            lines[_first_line(same[0]) - 1 : same[0].end_lineno] = [text]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            last = max(other.end_lineno or 0 for other in there if isinstance(other, (ast.Import, ast.ImportFrom)))
            lines.insert(last, text)
        else:
            flows = [
                other
                for other in there
                if isinstance(other, ast.FunctionDef) and "@flow" in lines[_first_line(other) - 1]
            ]
            at = _first_line(flows[0]) - 1 if flows else len(lines)
            lines[at:at] = [text, "", ""]
        source = "\n".join(lines) + "\n"
    return source


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(one.lineno for one in decorators)])


def _name(node: ast.stmt) -> str:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    if isinstance(node, ast.ImportFrom):
        return f"from {node.module}"
    return getattr(node, "name", "")


def check_shown(expected: str, output: str, command: str) -> None:
    """The lines of ``expected`` appear in ``output``, in this order."""
    left = iter([_plain(line) for line in output.splitlines()])
    for line in expected.splitlines():
        if line.strip() not in ("", "...") and _plain(line) not in left:
            pytest.fail(f"`{command}` does not print\n    {line}\nafter the lines before it; it prints\n{output}")


def _plain(line: str) -> str:
    """A line without what differs from one run to the next."""
    line = re.sub(r"/[\w./-]*/", "/", line)
    line = re.sub(r"[█░#.]{4,}", "BAR", line)
    line = re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", line)
    line = re.sub(r"[-+]?\d[\d,.:]*(e-?\d+)?", "0", line)
    line = re.sub(r"\b0[dhm] 0[hms]\b", "0 s", line)  # on a busy machine
    line = re.sub(r"\b0 (us|ms|s|B|KiB|MiB|GiB)\b", "0", line)
    return " ".join(line.split())


RUNNABLE = [page for page in OWN if any(block.mark for block in blocks(page))]


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("page", RUNNABLE, ids=named)
def test_what_a_page_shows_runs(page: Path, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for block in blocks(page):
        folder.execute(block)


@pytest.mark.parametrize("page", OWN, ids=named)
def test_every_python_block_is_python(page: Path) -> None:
    for block in blocks(page):
        if block.kind == "python":
            compile(block.text, named(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_a_file_can_be_edited_piece_by_piece() -> None:
    before = "import os\n\nA = 1\n\n\n@step\ndef one():\n    return 1\n\n\n@flow\ndef all():\n    one()\n"
    change = (
        "import sys\n\nA = 2\n\n@step(cache=True)\ndef one():\n    return 2\n\n\n@step\ndef two():\n    return one\n"
    )
    after = edited(before, change)
    assert after.startswith(
        "import os\nimport sys\n\nA = 2\n\n\n@step(cache=True)\ndef one():\n    return 2\n\n\n@step\ndef two()"
    )
    assert after.endswith("@flow\ndef all():\n    one()\n")


def test_shown_output_is_compared() -> None:
    check_shown("a/1 took 1.20 s\n...\nb ████░░░░ 3/4\n", "x\na/7 took 900 ms\ny\nb ████████ 4/4\n", "command")
    with pytest.raises(pytest.fail.Exception):
        check_shown("b\na\n", "a\nb\n", "command")


# --- what is named exists ------------------------------------------------------------------------------------------


def commands_in(page: Path) -> Iterator[list[str]]:
    """The calls of ``headrace`` in a page: of its console blocks, and in its text between backticks."""
    text = page.read_text()
    for block in blocks(page):
        if block.kind in ("console", "bash", "sh", "text"):
            for line in block.text.splitlines():
                if line.startswith("$") or block.kind in ("bash", "sh"):
                    for part in re.split(r"[|;&>()]", line):
                        found = re.match(r"[\s$]*(?:do )?(?:\w+=\S+ )*(headrace .*)", part)
                        if found:
                            yield found[1].split("#")[0].split()
    for found in re.finditer(r"`(?:\$ )?(headrace [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        yield found[1].replace("...", "").split()


@pytest.mark.parametrize("page", OWN, ids=named)
def test_commands_and_their_options_exist(page: Path) -> None:
    import click

    from headrace.cli.main import headrace_command

    for argv in commands_in(page):
        words = [word for word in argv[1:] if word not in ("-h", "--help", "--version", "COMMAND")]
        if not words:
            continue
        assert words[0] in COMMANDS, f"{named(page)}: {' '.join(argv)}"
        assert isinstance(headrace_command, click.Group)
        command = headrace_command.get_command(click.Context(headrace_command), words[0])
        assert command is not None
        if isinstance(command, click.Group) and len(words) > 1:
            command = command.commands.get(words[1], command)  # `import` has one that need not be named
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}
        if words[0] in ("run", "resume"):  # theirs are mixed with the flow's parameters
            continue
        unknown = [word.partition("=")[0] for word in words[1:] if re.match(r"--?[a-z]", word)]
        assert set(unknown) <= known, f"{named(page)}: {' '.join(argv)}"


@pytest.mark.parametrize("page", OWN, ids=named)
def test_make_has_the_targets_that_are_named(page: Path) -> None:
    text = "\n".join([*re.findall(r"`([^`\n]+)`", page.read_text()), *(block.text for block in blocks(page))])
    named_targets = set(re.findall(r"^(?:\$ )?make (\w+)", text, re.MULTILINE))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named_targets <= targets


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_within_the_project_resolve(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{named(page)} links to {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{named(page)} links to {target}"


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found: list[str] = []
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        again = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", other) is not None for other in found)
        found.append(f"{slug}-{again}" if again else slug)
    return set(found)


# --- what exists is named ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(headrace.__all__) - {"__version__"}))
def test_every_public_name_is_in_the_reference(name: str) -> None:
    assert f"\n### `{name}`\n" in (DOCS / "reference/api.md").read_text()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_reference(command: str) -> None:
    assert f"\n## `headrace {command}`\n" in (DOCS / "reference/cli.md").read_text()


def settings_table() -> dict[str, tuple[str, str]]:
    """Settings as documented: name to variable and default."""
    rows = re.findall(
        r"^\| `(\w+)` \| `(HEADRACE_\w+)` \| ([^|]*) \|", (DOCS / "architecture.md").read_text(), re.MULTILINE
    )
    return {name: (variable, default.strip("`")) for name, variable, default in rows}


def test_every_setting_is_documented() -> None:
    assert set(settings_table()) == set(Settings.__struct_fields__) - {"places", "environments", "kfp"}


SETTINGS = {
    "server": "https://runs.example",
    "durability": "fsync",
    "max_parallel": "3",
    "cleanup": "5m",
    "store_wait": "5m",
    "shared": "true",
    "include": "a.csv",
    "exclude": "b.csv",
    "code_file_limit": "1MiB",
    "code_limit": "2MiB",
    "log": "json",
    "log_level": "debug",
}


@pytest.mark.parametrize("setting", sorted(set(Settings.__struct_fields__) - {"places", "environments", "kfp"}))
def test_a_setting_is_read_from_its_variable_and_from_pyproject(setting: str, tmp_path: Path) -> None:
    variable, default = settings_table()[setting]
    value = SETTINGS.get(setting, "/place")
    untouched = getattr(read_settings({}, tmp_path), setting)
    assert getattr(read_settings({variable: value}, tmp_path), setting) != untouched
    if setting in ("project", "durability", "max_parallel", "cleanup", "store_wait", "code_file_limit", "code_limit"):
        assert str(untouched) == default
    quoted = value if setting in ("max_parallel", "shared") else f'"{value}"'
    quoted = f"[{quoted}]" if setting in ("include", "exclude") else quoted
    (tmp_path / "pyproject.toml").write_text(f"[tool.headrace]\n{setting} = {quoted}\n")
    assert getattr(read_settings({}, tmp_path), setting) != untouched


def test_no_setting_is_made_up() -> None:
    known = {f"HEADRACE_{name.upper()}" for name in Settings.__struct_fields__}
    read = {
        name
        for file in (ROOT / "src/headrace").rglob("*.py")
        for name in re.findall(r"\bHEADRACE_[A-Z_]*[A-Z]\b", file.read_text())
    }
    for page in OWN:
        named_there = set(re.findall(r"\bHEADRACE_[A-Z_]*[A-Z]\b", page.read_text()))
        # Of secrets the rest is the secret's name; tests read variables of their own.
        others = {name for name in named_there if name.startswith(("HEADRACE_SECRET_", "HEADRACE_TEST_"))}
        assert named_there - others <= known | read, named(page)


@pytest.mark.parametrize("script", GENERATED)
def test_generated_pages_are_up_to_date(script: str) -> None:
    done = subprocess.run(
        [sys.executable, DOCS / script, "--check"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_howto_is_listed() -> None:
    index = (DOCS / "README.md").read_text()
    for page in (DOCS / "howto").glob("*.md"):
        assert f"(howto/{page.name})" in index, page.name
