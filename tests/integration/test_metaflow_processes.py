"""A task of Metaflow is a process, and so it is here: nothing that one leaves is seen by the next."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

import pytest

from headrace.frontends.metaflow.programs.script import environment
from headrace.stores.metadata.protocol import RunFilter

if TYPE_CHECKING:
    from tests.integration.conftest import Finished, Project

#: Six tasks of a step; HEAD and BODY are put in. What they note is printed at the end, a line for each name.
FLOW = """
from metaflow import FlowSpec, step
HEAD

class Six(FlowSpec):
    counts = {"class": 1}

    @step
    def start(self):
        self.numbers = list(range(6))
        self.next(self.body, foreach="numbers")

    @step
    def body(self):
        noted = {}
        BODY
        noted["process"] = os.getpid()
        self.noted = noted
        self.next(self.join)

    @step
    def join(self, inputs):
        for name in inputs[0].noted:
            print("noted", name, len({str(one.noted[name]) for one in inputs}))
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    Six()
"""


def run(project: Project, head: str, body: str, *options: str) -> Finished:
    indented = textwrap.indent(textwrap.dedent(body).strip(), " " * 8).strip()
    file = project.write(FLOW.replace("HEAD", textwrap.dedent(head)).replace("BODY", indented), "sixfold.py")
    return project.finish(project.start(str(file), "run", *options, PYTHONPATH=environment({})["PYTHONPATH"]))


def noted(done: Finished) -> dict[str, int]:
    """How many different values the tasks noted, by name."""
    assert done.code == 0, done.out + done.err
    lines = [line.split(" noted ")[1].split() for line in done.out.splitlines() if " noted " in line]
    return {name: int(count) for name, count in lines}


def test_every_attempt_has_a_process_of_its_own(project: Project) -> None:
    body = 'noted["sum"] = len(TABLE) + self.counts["class"]; self.result = [1]'
    head = "import json, logging\nTABLE = [1, 2]"
    assert noted(run(project, head, body, "--max-workers=1")) == {"sum": 1, "process": 6}


def test_warm_tasks_share_processes_with_what_others_left(project: Project) -> None:
    body = 'noted["what"] = len(SEEN); SEEN.append(1); atexit.register(print, "said at the end")'
    done = run(project, "import atexit\nSEEN = []", body, "--max-workers=1", "--warm")
    assert noted(done) == {"what": 6, "process": 1}
    assert done.out.count("said at the end") == 6


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("SEEN = []", 'noted["what"] = len(SEEN); SEEN.append(1)'),
        ("COUNT = 0", 'global COUNT; noted["what"] = COUNT; COUNT += 1'),
        ("class Tool:\n    made = 0", 'noted["what"] = Tool.made; Tool.made += 1'),
        ("class Tool:\n    made = {}", 'noted["what"] = len(Tool.made); Tool.made[1] = 2'),
        ("", 'noted["what"] = getattr(type(self), "_left", 0); type(self)._left = 1'),
        ("", 'import __main__ as m; noted["what"] = getattr(m, "left", 0); m.left = 1'),
        ("import gc", 'noted["what"] = gc.isenabled(); gc.disable()'),
        (
            "import matplotlib; matplotlib.use('Agg'); import matplotlib.pyplot as plt",
            'plt.plot([1, 2]); noted["what"] = len(plt.gca().lines), len(plt.get_fignums())',
        ),
        ("", "import matplotlib; matplotlib.use('Agg'); import matplotlib.pyplot as plt; "
             'noted["what"] = plt.rcParams["lines.linewidth"]; plt.rcParams["lines.linewidth"] = 9'),
        ("import logging", 'log = logging.getLogger("app"); noted["what"] = len(log.handlers), log.level; '
                           'log.addHandler(logging.NullHandler()); log.setLevel(10)'),
        ("import decimal", 'noted["what"] = decimal.getcontext().prec; decimal.getcontext().prec = 50'),
        ("import numpy as np", 'noted["what"] = np.geterr()["divide"]; np.seterr(all="raise")'),
        ("import pandas as pd", 'noted["what"] = pd.get_option("display.width"); pd.set_option("display.width", 9)'),
        ("import copyreg, fractions",
         'noted["what"] = fractions.Fraction in copyreg.dispatch_table; '
         'copyreg.pickle(fractions.Fraction, lambda one: (fractions.Fraction, (1, 2)))'),
        ("import json", 'noted["what"] = json.dumps.__module__; json.dumps = print'),
        ("import warnings", 'noted["what"] = len(warnings.filters); warnings.simplefilter("error")'),
        ("import re", 'noted["what"] = getattr(re, "left", None); re.left = ["a+"]'),
        ("import threading",
         'noted["what"] = threading.active_count(); '
         'threading.Thread(target=threading.Event().wait, daemon=True).start()'),
        ("import functools\n@functools.cache\ndef known():\n    return 1",
         'noted["what"] = known.cache_info().currsize; known()'),
        ("import socket", 'noted["what"] = socket.getdefaulttimeout(); socket.setdefaulttimeout(3)'),
        ("import sys", 'noted["what"] = len(sys.path), os.environ.get("LEFT"), os.path.basename(os.getcwd()); '
                       'sys.path.append("left"); os.environ["LEFT"] = "1"; os.chdir("/")'),
        ("import signal", 'noted["what"] = str(signal.getsignal(signal.SIGUSR1)); '
                          'signal.signal(signal.SIGUSR1, signal.SIG_IGN)'),
        ("import sqlite3",
         'noted["what"] = getattr(sqlite3, "held", None); sqlite3.held = sqlite3.connect(":memory:")'),
        ("", 'import colorsys; noted["what"] = hasattr(colorsys, "left"); colorsys.left = 1'),
    ],
)  # fmt: skip
def test_what_a_task_leaves_is_not_there_for_the_next(project: Project, head: str, body: str) -> None:
    assert noted(run(project, head, body, "--max-workers=1")) == {"what": 1, "process": 6}


def test_numbers_of_numpy_differ_from_task_to_task(project: Project) -> None:
    body = 'time.sleep(0.05); noted["numpy"] = np.random.rand(); noted["python"] = random.random()'
    found = noted(run(project, "import random\nimport numpy as np\nimport numpy.random", body, "--max-workers=3"))
    assert (found["numpy"], found["python"]) == (6, 6)
    assert found["process"] > 1, "the tasks are to be in several workers"


def test_a_seed_of_one_task_is_not_the_next_ones(project: Project) -> None:
    body = """
        noted["numpy"] = np.random.rand()
        noted["python"] = random.random()
        random.seed(1), np.random.seed(1)
        noted["seeded"] = random.random(), np.random.rand()
    """
    found = noted(run(project, "import random\nimport numpy as np", body, "--max-workers=1"))
    assert found == {"numpy": 6, "python": 6, "seeded": 1, "process": 6}


@pytest.mark.parametrize("before", ["", "random.random(), np.random.rand()\n"])
def test_what_the_file_seeds_is_what_every_task_begins_with(project: Project, before: str) -> None:
    body = 'time.sleep(0.02); noted["numpy"] = np.random.rand(); noted["python"] = random.random()'
    head = f"import random\nimport numpy as np\n{before}random.seed(7)\nnp.random.seed(7)"
    found = noted(run(project, head, body, "--max-workers=2"))
    assert (found["numpy"], found["python"]) == (1, 1)


def test_a_file_that_draws_without_a_seed_gives_its_tasks_different_numbers(project: Project) -> None:
    head = "import random\nimport numpy as np\n[random.random() for _ in range(2000)], np.random.rand(2000)"
    body = 'noted["numpy"] = np.random.rand(); noted["python"] = random.random()'
    found = noted(run(project, head, body, "--max-workers=1"))
    assert (found["numpy"], found["python"]) == (6, 6)


def test_threads_of_a_pool_that_was_not_shut_down_do_not_keep_a_task(project: Project) -> None:
    head = (
        "from concurrent.futures import ThreadPoolExecutor\nfrom joblib import Parallel, delayed\nfrom math import sqrt"
    )
    body = """
        noted["pool"] = ThreadPoolExecutor(2).submit(sqrt, 4.0).result()
        noted["joblib"] = Parallel(n_jobs=2)(delayed(sqrt)(one) for one in (1.0, 4.0))
    """
    assert noted(run(project, head, body, "--max-workers=2"))["joblib"] == 1


def test_a_step_that_closes_what_is_not_its_own_is_told_so(project: Project) -> None:
    done = run(project, "", 'os.closerange(3, 100); noted["what"] = 1', "--max-workers=1")
    assert done.code == 1
    assert "closed files that are not its own" in done.out + done.err
    assert "serve.py" not in done.out + done.err


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import threading; self.lock = threading.Lock()", "lock cannot be stored"),
        ("raise ValueError('own words')", "ValueError: own words"),
        ("raise GeneratorExit('own words')", "GeneratorExit: own words"),
    ],
)
def test_what_ended_a_task_is_said_once(project: Project, body: str, said: str) -> None:
    done = run(project, "", body, "--max-workers=1")
    assert done.code == 1
    texts = [line for line in (done.out + done.err).splitlines() if "[1/body/2 " in line and said in line]
    assert len(texts) == 1, done.out + done.err
    assert os.path.join("headrace", "stores") not in done.out + done.err


def test_a_caught_failure_whose_text_no_stream_takes_is_shown(project: Project) -> None:
    text = FLOW.replace("HEAD", "from metaflow import catch").replace(
        "    @step\n    def body", "    @catch\n    @step\n    def body"
    )
    file = project.write(
        text.replace("BODY", 'raise ValueError("half " + chr(0xDC80))').replace("noted[name]", "index")
    )
    done = project.finish(project.start(str(file), "run", PYTHONPATH=environment({})["PYTHONPATH"]))
    assert r"ValueError: half \udc80" in done.out + done.err
    assert "UnicodeEncodeError" not in done.out + done.err and "fallback" not in done.out + done.err


def test_a_constructor_that_fails_in_a_task_is_said(project: Project) -> None:
    head = """
    import multiprocessing
    DRIVER = os.getpid()
    class Base(headrace.metaflow.FlowSpec):
        def __init__(self):
            if os.getpid() != DRIVER:
                raise ValueError("own words")
            super().__init__()
    """
    done = run(project, head + "FlowSpec = Base\n", "pass")
    assert done.code == 1
    assert "ValueError: own words" in done.out + done.err


def test_workers_of_native_flows_draw_different_numbers_too(project: Project) -> None:
    file = project.write(
        """
        import numpy as np
        import numpy.random

        @step
        def draw(number: int) -> tuple[float, int]:
            time.sleep(0.1)
            return float(np.random.rand()), os.getpid()

        @flow
        def main() -> int:
            drawn = [one.result() for one in draw.map(range(6))]
            print(len({number for number, _ in drawn}), len({process for _, process in drawn}) > 1)
            return 0

        main()
        """
    )
    done = project.finish(project.start(str(file)))
    assert "6 True" in done.out, done.out + done.err


def test_text_that_cannot_be_encoded_is_shown_written_out(project: Project) -> None:
    file = project.write(
        """
        @step
        def odd() -> str:
            return "half \\ud800" * 100

        @step
        def wrong() -> str:
            raise ValueError("half \\ud800")

        @flow
        def main() -> int:
            print(ascii(odd()[:6]))
            wrong()
            return 0

        main()
        """
    )
    done = project.finish(project.start(str(file)))
    assert r"'half \ud800'" in done.out, done.out + done.err
    assert r"half \ud800" in done.err and "UnicodeEncodeError" not in done.err


def test_processes_that_a_step_spawns_do_not_start_a_file_without_a_guard_again(project: Project) -> None:
    body = "noted['pool'] = multiprocessing.get_context('spawn').Pool(1).map(twice, [self.input])"
    head = "import multiprocessing\n\ndef twice(number):\n    return 2 * number"
    flow = FLOW.replace("range(6)", "range(2)").replace('if __name__ == "__main__":\n    Six()', "Six()")
    file = project.write(flow.replace("HEAD", head).replace("BODY", body), "sixfold.py")
    done = project.finish(project.start(str(file), "run", PYTHONPATH=environment({})["PYTHONPATH"]))
    assert noted(done)["pool"] == 2
    assert len(project.metadata.runs(RunFilter())) == 1
