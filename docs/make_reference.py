"""Write docs/reference/: the public names and the commands, from their docstrings. Run by `make docs`.

python docs/make_reference.py            # write
python docs/make_reference.py --check    # exit 1 when what is there is not what would be written
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

import headrace

HERE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/make_reference.py from docstrings: edit those. -->\n"


def signature(thing: object) -> str:
    """How to call ``thing``, without default objects whose repr holds an address; empty when it cannot be called."""
    try:
        text = str(inspect.signature(thing))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    text = re.sub(r"<(?:function|class|object)? ?'?([\w.]+)[^>]*>", r"\1", text)
    return text.replace("(self, ", "(").replace("(self)", "()").replace("(self: Self)", "()")


def members(cls: type) -> Iterator[tuple[str, object]]:
    """Documented public methods and properties of ``cls``, also inherited ones of ours, by name."""
    for name, member in inspect.getmembers(cls):
        inner = member.fget if isinstance(member, property) else member
        module = getattr(inner, "__module__", None) or ""
        if not name.startswith("_") and module.startswith("headrace") and inspect.getdoc(inner):
            yield name, member


def api() -> str:
    """Every name in ``headrace.__all__``, in its order there."""
    parts = [NOTE, "# Python API\n", "Everything here is imported from `headrace`.\n"]
    for name in headrace.__all__:
        thing = getattr(headrace, name)
        if not (inspect.isclass(thing) or callable(thing)):
            continue
        parts.append(f"## `{name}`\n\n```python\n{name}{signature(thing)}\n```\n\n{inspect.getdoc(thing) or ''}\n")
        if not inspect.isclass(thing) or issubclass(thing, BaseException):
            continue
        for attribute, member in members(thing):
            inner = member.fget if isinstance(member, property) else member
            call = "" if isinstance(member, property) else signature(member)
            parts.append(f"### `{name}.{attribute}{call}`\n\n{inspect.getdoc(inner)}\n")
    return "\n".join(parts)


def commands() -> str:
    """The help text of every command."""
    from headrace.cli.main import main

    if not isinstance(main, click.Group):
        raise SystemExit("docs/make_reference.py: headrace.cli.main.main is not a click group any more")
    parts = [NOTE, "# Commands\n"]
    top = click.Context(main, info_name="headrace", max_content_width=100)
    parts.append(f"```text\n{main.get_help(top)}\n```\n")
    for name in main.list_commands(top):
        command = main.get_command(top, name)
        if command is not None and not command.hidden:
            context = click.Context(command, info_name=name, parent=top, max_content_width=100)
            parts.append(f"## `headrace {name}`\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def run(check: bool) -> int:
    """Write both pages, or only compare; returns the exit code."""
    stale = 0
    for file, text in ((HERE / "api.md", api()), (HERE / "cli.md", commands())):
        if file.exists() and file.read_text() == text:
            continue
        stale += 1
        if check:
            print(f"{file.relative_to(HERE.parent.parent)} is not what the docstrings say: run `make docs`")
        else:
            HERE.mkdir(exist_ok=True)
            file.write_text(text)
            print(f"wrote {file.relative_to(HERE.parent.parent)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(run("--check" in sys.argv[1:]))
