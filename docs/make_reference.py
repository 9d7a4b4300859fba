"""Write docs/reference/: the public names, the commands, and the API of the server. Run by `make docs`.

python docs/make_reference.py            # write
python docs/make_reference.py --check    # exit 1 when what is there is not what would be written
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import make_server_reference

import headrace

HERE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/make_reference.py from docstrings: edit those. -->\n"

#: Names that are not listed under "Errors" or here come last.
GROUPS = {
    "Writing flows": (
        *("flow", "step", "Step", "Future", "wait", "as_completed", "Retry", "do_not_cache", "sleep", "wait_for"),
        "resume",
    ),
    "Files as values": ("File", "Folder"),
    "Tracking": (
        *("log_metric", "log_metrics", "log_params", "log_figure", "log_table", "log_text", "log_artifact", "set_tag"),
        "track",
    ),
    "Reading runs back": ("runs", "Run", "Task", "Artifact", "Flow", "Runs"),
    "Workspaces and projects": ("connect", "Client", "copy_context"),
}
#: Made by Headrace, so how they are constructed is nobody's business.
MADE_HERE = {"Client", "Future", "Runs", "Step"}

_SECTION = re.compile(r"^(Args|Raises|Returns):$")


class _Plain:
    """An annotation that is shown as it was written."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def signature(thing: object) -> str:
    """How to call ``thing``, without default objects whose repr holds an address; empty when it cannot be called."""
    try:
        found = inspect.signature(thing)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    parameters = [
        one.replace(annotation=_plain(one.annotation)) for name, one in found.parameters.items() if name != "self"
    ]
    back = inspect.Signature.empty if inspect.isclass(thing) else _plain(found.return_annotation)
    text = str(found.replace(parameters=parameters, return_annotation=back))
    text = re.sub(r"<(?:function|class|object)? ?'?([\w.]+)[^>]*>", r"\1", text)
    return text.replace("= Ellipsis", "= ...")


def wrapped(call: str) -> str:
    """A signature with a line per parameter when it is long."""
    if len(call) <= 100:
        return call
    inside, depth, parts = call.index("(") + 1, 0, [""]
    end = call.rindex(")", 0, call.find(" -> ") if " -> " in call else None)
    for char in call[inside:end]:
        depth += (char in "([") - (char in ")]")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    listed = "".join(f"    {part.strip()},\n" for part in parts)
    return f"{call[:inside]}\n{listed}{call[end:]}"


def _plain(annotation: Any) -> Any:
    return _Plain(annotation) if isinstance(annotation, str) else annotation


def text_of(thing: object) -> str:
    """The docstring as Markdown: its sections become lists."""
    lines: list[str] = []
    inside = False
    for line in (inspect.getdoc(thing) or "").splitlines():
        found = _SECTION.match(line)
        if found:
            inside = True
            lines += [f"*{found[1]}:*", ""]
        elif inside and re.match(r"^ {4}\S", line):
            name, colon, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}" if colon and " " not in name.replace(", ", "") else f"- {line.strip()}")
        else:
            inside = inside and (not line or line.startswith(" "))
            lines.append(f"  {line.strip()}" if inside and line else line)
    return "\n".join(lines)


def members(cls: type) -> Iterator[tuple[str, object]]:
    """Documented public methods and properties of ``cls``, also inherited ones of ours, by name."""
    for name, member in inspect.getmembers(cls):
        inner = member.fget if isinstance(member, property) else member
        module = getattr(inner, "__module__", None) or ""
        if not name.startswith("_") and module.startswith("headrace") and inspect.getdoc(inner):
            yield name, member


def entry(name: str) -> str:
    """All about one public name."""
    thing = getattr(headrace, name)
    parts = [f"### `{name}`\n"]
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        bases = ", ".join(f"`{base.__name__}`" for base in thing.__bases__)
        return "\n".join([*parts, f"{text_of(thing)} A kind of {bases}.\n"])
    ways = [signature(one) for one in typing.get_overloads(thing)] if inspect.isfunction(thing) else []
    if name not in MADE_HERE:
        calls = "\n".join(wrapped(f"{name}{way}") for way in ways or [signature(thing)])
        parts.append(f"```python\n{calls}\n```\n")
    parts.append(f"{text_of(thing)}\n")
    for attribute, member in members(thing) if inspect.isclass(thing) else ():
        if isinstance(member, property):
            back = inspect.signature(member.fget).return_annotation  # type: ignore[arg-type]
            head, text = f"{attribute}: {back}", text_of(member.fget)
        else:
            head, text = f"{attribute}{signature(member)}", text_of(member)
        text = text.replace("\n", "\n  ").replace("\n  \n", "\n\n")
        parts.append(f"- **`{head}`**\n  {text}")
    return "\n".join(parts) + ("" if parts[-1].endswith("\n") else "\n")


def api() -> str:
    """Every name in ``headrace.__all__``, by what it is for."""
    public = [name for name in headrace.__all__ if callable(getattr(headrace, name))]
    errors = [name for name in public if name.endswith("Error")]
    groups = {title: [name for name in names if name in public] for title, names in GROUPS.items()}
    known = {name for names in groups.values() for name in names} | set(errors)
    groups = {**groups, "More": [name for name in public if name not in known], "Errors": errors}
    groups = {title: names for title, names in groups.items() if names}
    links = anchors([heading for title, names in groups.items() for heading in (title, *names)])
    parts = [NOTE, "# Python API\n", "Everything here is imported from `headrace`.\n"]
    for title, names in groups.items():
        listed = ",\n  ".join(f"[`{name}`](#{links[name]})" for name in names)
        parts.append(f"- [{title}](#{links[title]}):\n  {listed}")
    for title, names in groups.items():
        parts += [f"\n## {title}\n", *[entry(name) for name in names]]
    return "\n".join(parts)


def anchors(headings: Sequence[str]) -> dict[str, str]:
    """Heading to anchor, as GitHub makes them: of equal ones the later get a number."""
    found: dict[str, str] = {}
    for heading in headings:
        slug = heading.lower().replace(" ", "-")
        again = sum(other.lower().replace(" ", "-") == slug for other in found)
        found[heading] = f"{slug}-{again}" if again else slug
    return found


def commands() -> str:
    """The help text of every command."""
    from headrace.cli.main import headrace_command as main

    if not isinstance(main, click.Group):
        raise SystemExit("docs/make_reference.py: headrace.cli.main.headrace_command is not a click group any more")
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
    """Write the pages, or only compare; returns the exit code."""
    stale = 0
    pages = (("api.md", api()), ("cli.md", commands()), ("server.md", make_server_reference.page()))
    for file, text in ((HERE / name, text) for name, text in pages):
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
