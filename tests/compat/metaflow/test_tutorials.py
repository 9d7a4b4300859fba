"""The tutorials that come with Metaflow, as they are: under the real one, in place of it, and by ``headrace run``.

They are taken from the wheel of the real environment. Two of them need what no test machine has: the real one plays
04 without its @conda lines (they want a package manager from the network) and 05 without @kubernetes (a cluster).
Headrace runs the very files. Runs are the same but for chance: the tutorials shuffle playlists and draw a bonus movie
without a seed, so of those it is compared what the draw is from.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

harness: Any = sys.modules["compat_metaflow_harness"]

SIDES = ("in place of it", "headrace run")
FLOWS = ("HelloFlow", "PlayListFlow", "MovieStatsFlow", "HelloCloudFlow")
NOTEBOOKS = (
    *("01-playlist/playlist", "02-statistics/stats", "05-hello-cloud/hello-cloud"),
    *("06-statistics-redux/stats", "07-worldview/worldview"),
)
#: What 04 gets from conda: the number of letters to change, so that every implementation has the same answer.
EDIT_DISTANCE = """
def eval(one, other):
    row = list(range(len(other) + 1))
    for n, letter in enumerate(one, 1):
        before, row[0] = row[0], n
        for m, another in enumerate(other, 1):
            before, row[m] = row[m], min(row[m] + 1, row[m - 1] + 1, before + (letter != another))
    return row[-1]
"""
#: Runs the cells of a notebook one after the other, as a kernel does.
PLAY = """
import json, sys
names = {}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), sys.argv[1], "exec"), names)
"""


class Episode(NamedTuple):
    """A command of a tutorial, and what only Headrace can be given here."""

    file: str
    arguments: tuple[str, ...] = ()
    top: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    #: Decorators for other machines.
    needs: str = ""


EPISODES = (
    Episode("00-helloworld/helloworld.py"),
    Episode("01-playlist/playlist.py", ("--genre", "Comedy", "--recommendations", "3")),
    Episode("02-statistics/stats.py", (), (), ("--with", "kubernetes", "--max-workers", "4")),
    Episode("03-playlist-redux/playlist.py"),
    Episode(
        "04-playlist-plus/playlist.py", ("--hint", "Data Science Strikes Back"), ("--environment=conda",), (), "conda"
    ),
    Episode("05-hello-cloud/hello-cloud.py", needs="kubernetes"),
)


class Played(NamedTuple):
    """What came of all episodes."""

    codes: list[int]
    #: What steps write on the console, for each episode.
    prints: list[list[str]]
    runs: dict[str, list[dict[str, Any]]]
    notebooks: dict[str, str]
    console: str


class Player:
    """Plays the tutorials in a folder of its own."""

    def __init__(self, python: str, folder: Path, side: str) -> None:
        self.python, self.folder, self.side = python, folder, side
        self.real = side == "real"
        folder.mkdir()
        (folder / "lib").mkdir()
        (folder / "lib/editdistance.py").write_text(EDIT_DISTANCE)
        self.env = harness.environment(folder, python, self.real)
        self.env["MPLBACKEND"] = "agg"
        places = [str(folder / "lib"), self.env.get("PYTHONPATH", "")]
        self.env["PYTHONPATH"] = ":".join(places[: 1 if side != SIDES[0] else 2])

    def play(self, tutorials: Path) -> Played:
        """Copy the tutorials here and run all of them, as their texts say, from the folder above."""
        shutil.copytree(tutorials, self.folder / "tutorials")
        done = [self.call(self.command(episode)) for episode in EPISODES]
        runs = self.runs()
        wrote = harness.written([run for some in runs.values() for run in some])
        shown = [[plain(line) for line in harness.prints(one.stdout) if line in wrote] for one in done]
        notebooks = {name: self.notebook(name) for name in NOTEBOOKS}
        console = "".join(one.stdout + one.stderr for one in done)
        return Played([one.returncode for one in done], shown, runs, notebooks, console)

    def command(self, episode: Episode) -> list[str]:
        """The command for an episode."""
        if self.real:
            file = self.folder / "tutorials" / episode.file
            if episode.needs:
                file.write_text(re.sub(rf"^ *@{episode.needs}.*\n", "", file.read_text(), flags=re.MULTILINE))
            return [self.python, episode.file, "run", *episode.arguments]
        if self.side == SIDES[0]:
            return [self.python, episode.file, *episode.top, "run", *episode.arguments, *episode.elsewhere]
        script = "import sys; from headrace.cli.main import main; sys.exit(main())"
        return [self.python, "-c", script, "run", episode.file, *episode.arguments, *episode.elsewhere]

    def call(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command where the tutorials are."""
        done: subprocess.CompletedProcess[str] = harness.process(command, self.folder / "tutorials", self.env)
        return done

    def ask(self, *arguments: str) -> str:
        """What a script that imports metaflow prints."""
        path = self.env["PYTHONPATH"] if self.real else f"{harness.shim()}:{self.env['PYTHONPATH']}"
        done = harness.process([self.python, *arguments], self.folder / "tutorials", {**self.env, "PYTHONPATH": path})
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def runs(self) -> dict[str, list[dict[str, Any]]]:
        """All that the Client API says."""
        return {flow: json.loads(self.ask(str(harness.HERE / "dump.py"), flow)) for flow in FLOWS}

    def notebook(self, name: str) -> str:
        """What the cells of a notebook print, without times, places, numbers of runs, and chance."""
        lines = plain(self.ask("-c", PLAY, f"{name}.ipynb")).splitlines()
        if name.startswith("07"):
            lines.sort()  # the real one lists flows as its file system does
        text = "\n".join(lines)
        text = re.sub(r"\b\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "TIME", text)
        return re.sub(r"'(metaflow|python|headrace)_version:[^']*'(, )?|'runtime:\w+'(, )?", "", text)


@pytest.fixture(scope="module")
def played(real_python: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """All three ways, at once."""
    base = tmp_path_factory.mktemp("tutorials")
    [tutorials] = Path(real_python).parents[1].glob("lib/python*/site-packages/metaflow/tutorials")
    sides = {"real": real_python, **dict.fromkeys(SIDES, sys.executable)}
    with ThreadPoolExecutor(2) as pool:
        begun = {
            side: pool.submit(Player(python, base / side.replace(" ", "_"), side).play, tutorials)
            for side, python in sides.items()
        }
        return {side: one.result() for side, one in begun.items()}


def without_chance(run: dict[str, Any]) -> dict[str, Any]:
    """A run whose drawn and shuffled things are replaced by what does not depend on the draw."""
    text: dict[str, Any] = json.loads(json.dumps(run))
    for task in text["tasks"].values():
        for name in ("movies", "playlist"):
            if name in task["artifacts"]:
                task["artifacts"][name][1].sort()
        if "hint" not in task["artifacts"]:
            task["artifacts"].pop("bonus", None)
        task["stdout"] = plain(task["stdout"])
    return text


def plain(text: str) -> str:
    """A log without movies that were drawn, and without numbers of runs and names of stores."""
    text = re.sub(r"\b((Bonus|Top) Pick|Pick \d+): .*$", r"\1", text, flags=re.MULTILINE)
    return re.sub(r"(?<=provider: ).*|(?<=Flow/)\d+|(?<=Run id: )\d+", "X", text)


def differences(real: Any, ours: Any) -> list[str]:
    """How answers differ."""
    answers = ({"codes": [], "headlines": [], "runs": runs} for runs in (real, ours))
    found: list[str] = harness.compare(harness.Scenario("tutorials", "", ()), *answers)
    return found


@pytest.mark.timeout(600)  # the first one to ask waits for all of them
@pytest.mark.parametrize("side", SIDES)
class TestTutorials:
    def test_all_end_well_and_print_the_same(self, played: dict[str, Played], side: str) -> None:
        real, ours = played["real"], played[side]
        assert (real.codes, ours.codes) == ([0] * len(EPISODES), [0] * len(EPISODES)), real.console + ours.console
        assert [*map(set, real.prints)] == [*map(set, ours.prints)]

    @pytest.mark.parametrize("flow", FLOWS)
    def test_the_client_says_the_same_of_all_tasks(self, played: dict[str, Played], side: str, flow: str) -> None:
        real, ours = ([without_chance(run) for run in played[one].runs[flow]] for one in ("real", side))
        assert len(real) == (3 if flow == "PlayListFlow" else 1)
        assert differences(real, ours) == []

    @pytest.mark.parametrize("notebook", NOTEBOOKS)
    def test_the_cells_of_the_notebooks_print_the_same(
        self, played: dict[str, Played], side: str, notebook: str
    ) -> None:
        assert played[side].notebooks[notebook] == played["real"].notebooks[notebook]


@pytest.mark.parametrize("side", ["real", *SIDES])
def test_what_is_drawn_is_drawn_from_the_right_movies(played: dict[str, Played], side: str) -> None:
    """The part of chance: a playlist is of the genre, the bonus is not, and the texts say what the artifacts hold."""
    for run in played[side].runs["PlayListFlow"]:
        end = run["tasks"]["end"]
        artifacts = end["artifacts"]
        playlist, bonus = artifacts["playlist"][1], artifacts["bonus"][1]
        shown = [f"Pick {n}: '{movie}'" for n, movie in enumerate(playlist[: artifacts["recommendations"]], 1)]
        assert [line for line in end["stdout"].splitlines() if line.startswith("Pick")] == shown
        assert f"Bonus Pick: '{bonus[0]}' from '{bonus[1]}'" in end["stdout"]
        assert "hint" in artifacts or artifacts["genre"] not in bonus[1]
        assert playlist != sorted(playlist), "it was not shuffled"
