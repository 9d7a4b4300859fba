"""Write docs/images/: what a terminal shows, taken from real runs of the examples.

    uv run --with pyte python docs/make_images.py        # or: pip install pyte, then python docs/make_images.py

Each program runs in a pseudo-terminal; ``pyte`` keeps the screen as a terminal would, and ``rich`` draws it. Nothing
is edited. Look at the result before you commit it.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable
from pathlib import Path

import pyte  # type: ignore[import-not-found,unused-ignore]
from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

ROOT = Path(__file__).parents[1]
IMAGES = Path(__file__).parent / "images"
WIDTH, HEIGHT = 100, 60
SHOWN = 38  # lines of `headrace show` that are drawn; the rest are more artifacts
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

THEME = TerminalTheme(
    (24, 27, 33),
    (214, 219, 229),
    [
        *((40, 44, 52), (224, 108, 117), (126, 196, 120), (222, 180, 110)),
        *((97, 175, 239), (198, 120, 221), (86, 182, 194), (171, 178, 191)),
    ],
    [
        *((110, 117, 130), (240, 128, 137), (150, 214, 144), (238, 200, 132)),
        *((122, 194, 250), (214, 146, 236), (110, 204, 214), (255, 255, 255)),
    ],
)

Lines = list[Text]


def record(folder: Path, *argv: str) -> list[Lines]:
    """Run a program of this environment in a terminal; every screen it showed, the last one last."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    env = {name: value for name, value in os.environ.items() if not name.startswith(("HEADRACE_", "NO_COLOR"))}
    env |= {"TERM": "xterm-256color", "PATH": f".venv/bin:{os.environ['PATH']}"}
    program = ["sh", "-c", 'exec "$@"', "sh", *argv]  # finds it in PATH as a prompt would
    process = subprocess.Popen(
        program, cwd=folder, env=env, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.ByteStream(screen)
    prompt = Text.assemble(("$ ", "bright_black"), (" ".join(argv), "bold"))
    screens: list[Lines] = []
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        stream.feed(data)
        screens.append([prompt, *_shown(screen)])
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}:\n" + "\n".join(map(str, screens[-1])))
    return screens


def _shown(screen: pyte.Screen) -> Lines:
    lines = [_line(screen.buffer[row]) for row in range(HEIGHT)]
    while lines and not lines[-1].plain.strip():
        lines.pop()
    return lines


def _line(cells: dict[int, pyte.screens.Char]) -> Text:
    text = Text(no_wrap=True)
    for column in range(WIDTH):
        cell = cells[column]
        text.append(
            cell.data, " ".join(part for part in ("bold" if cell.bold else "", _colour(cell.fg)) if part) or None
        )
    text.rstrip()
    return text


def _colour(name: str) -> str:
    """A colour of pyte as rich calls it."""
    if re.fullmatch("[0-9a-f]{6}", name):
        return f"#{name}"
    return {"default": "", "brown": "yellow"}.get(name, re.sub(r"^bright(?=\w)", "bright_", name))


def draw(name: str, title: str, lines: Lines) -> None:
    """Write one picture."""
    width = max(line.cell_len for line in lines) + 2
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        console = Console(record=True, width=width, file=nowhere)
        for line in lines:
            console.print(line, soft_wrap=True, highlight=False)
        svg = console.export_svg(title=title, theme=THEME, unique_id=name)
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # a picture in a page may load no fonts
    (IMAGES / f"{name}.svg").write_text(re.sub(r"font-family: Fira Code[^;]*;", f"font-family: {FONTS};", svg))
    print(f"wrote docs/images/{name}.svg")


def last(screens: list[Lines], want: Callable[[str], bool]) -> Lines:
    """The last screen whose text is as wanted."""
    found = [lines for lines in screens if want("\n".join(line.plain for line in lines))]
    if not found:
        raise SystemExit(
            "no screen shows what the picture is for; the last one was:\n" + "\n".join(map(str, screens[-1]))
        )
    return found[-1]


def main() -> None:
    """Draw all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="headrace-") as place:
        folder = Path(place)
        (folder / ".venv").symlink_to(sys.prefix)
        shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
        screens = record(folder, "headrace", "run", "examples/digits.py")
        busy = last(screens, lambda text: "2 running" in text and " | " in text and "publish" not in text)
        later = [Text(), Text("  ... a moment later", style="italic bright_black"), Text()]
        draw("run", "a run, while it goes on and when it is over", [*busy, *later, *screens[-1][1:]])
        shown = record(folder, "headrace", "show", "digits/1")[-1]
        draw("show", "looked at afterwards", shown[:SHOWN])


if __name__ == "__main__":
    main()
