"""What a task leaves in its process is not the next task's: figures, settings, handlers, threads, processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from headrace.model.records import TaskId

if TYPE_CHECKING:
    from tests.integration.conftest import Project

#: Runs ``leave`` and before and after it ``look``, in one worker; prints what ``look`` saw, and of which processes.
FLOW = """
import json

@step
def before():
    return [repr(look()), os.getpid()]

@step
def change():
    leave()
    return [repr(look()), os.getpid()]

@step
def after(i):
    return [repr(look()), os.getpid()]

@flow(max_parallel=1)
def train():
    return [before(), change(), after(1), change.options(name="again")(), after(2)]

if __name__ == "__main__":
    print(json.dumps(train()))
"""


def seen(project: Project, text: str) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(project.succeed(text + FLOW).splitlines()[-1])
    return found


SWITCHES = {
    "figures": (
        "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt",
        "plt.get_fignums()",
        "plt.plot([0, 1])",
    ),
    "rcParams": (
        "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\n"
        "plt.rcParams['lines.linewidth'] = 7",
        "(plt.rcParams['lines.linewidth'], plt.rcParams['axes.grid'], plt.isinteractive(), matplotlib.get_backend())",
        "plt.style.use('ggplot'); plt.rcParams['lines.linewidth'] = 9; plt.ion()",
    ),
    "root logger": (
        "import logging\nlogging.basicConfig(level='ERROR')",
        "(logging.root.level, len(logging.root.handlers), logging.root.manager.disable, len(logging.root.filters))",
        "logging.root.setLevel(1); logging.root.addHandler(logging.StreamHandler()); logging.disable(30); "
        "logging.root.addFilter(print)",
    ),
    "loggers": (
        "import logging\nlog = logging.getLogger('mine.part')\nlog.addHandler(logging.NullHandler())",
        "[(one.level, len(one.handlers), one.propagate, one.disabled) for one in "
        "(log, logging.getLogger('sqlite3'), logging.getLogger('new.one'))]",
        "[(one.setLevel(5), one.addHandler(logging.StreamHandler()), setattr(one, 'propagate', False), "
        "setattr(one, 'disabled', True)) for one in "
        "(log, logging.getLogger('sqlite3'), logging.getLogger('new.one'))]; "
        "log.handlers.pop(0)",
    ),
    "logging imported by the step": (
        "",
        "len(sys.modules['logging'].root.handlers) if 'logging' in sys.modules else 0",
        "import logging; logging.basicConfig()",
    ),
    "warnings": (
        "import warnings\nwarnings.filterwarnings('ignore', message='mine')",
        "(len(warnings.filters), warnings.filters[0][:2], warnings.showwarning.__name__)",
        "warnings.simplefilter('error'); warnings.showwarning = print; import wave, mailbox",
    ),
    "interpreter": (
        "import gc, threading",
        "(sys.getrecursionlimit(), sys.getswitchinterval(), gc.isenabled(), gc.get_threshold(), "
        "sys.excepthook.__name__, not sys.getprofile(), threading.excepthook.__name__, sys.get_int_max_str_digits())",
        "sys.setrecursionlimit(5000), sys.setswitchinterval(0.5), gc.disable(), gc.set_threshold(5), "
        "setattr(sys, 'excepthook', print), sys.setprofile(lambda *_: None), setattr(threading, 'excepthook', print), "
        "sys.set_int_max_str_digits(0)",
    ),
    "signals": (
        "import signal",
        "(signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGHUP), signal.getitimer(signal.ITIMER_PROF)[1], "
        "signal.pthread_sigmask(signal.SIG_BLOCK, ()))",
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN), signal.signal(signal.SIGHUP, print), "
        "signal.signal(signal.SIGPROF, signal.SIG_IGN), signal.setitimer(signal.ITIMER_PROF, 100, 100), "
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])",
    ),
    "standard library": (
        "import socket, locale, decimal, contextvars\nVARIABLE = contextvars.ContextVar('v', default=0)\n"
        "decimal.getcontext().prec = 30",
        "(socket.getdefaulttimeout(), locale.setlocale(locale.LC_ALL), decimal.getcontext().prec, VARIABLE.get(), "
        "time.tzname)",
        "socket.setdefaulttimeout(3), locale.setlocale(locale.LC_ALL, 'C.UTF-8'), "
        "setattr(decimal.getcontext(), 'prec', 5), VARIABLE.set(1), os.environ.update(TZ='Asia/Tokyo'), time.tzset()",
    ),
    "numpy": (
        "import numpy as np\nnp.seterr(divide='ignore')\nnp.set_printoptions(precision=4)",
        "(np.geterr(), np.get_printoptions()['precision'], str(np.array([1 / 3])))",
        "np.seterr(all='raise'), np.set_printoptions(precision=1)",
    ),
    "pandas": (
        "import pandas as pd\npd.set_option('display.max_rows', 11)",
        "(pd.get_option('display.max_rows'), pd.get_option('display.precision'))",
        "pd.set_option('display.max_rows', 3), pd.set_option('display.precision', 1)",
    ),
    "scikit-learn": (
        "import sklearn\nsklearn.set_config(working_memory=99)",
        "(sklearn.get_config()['working_memory'], sklearn.get_config()['transform_output'])",
        "sklearn.set_config(working_memory=1, transform_output='pandas')",
    ),
}


@pytest.mark.parametrize("name", SWITCHES)
def test_what_a_task_turns_is_put_back_for_the_next_one(project: Project, name: str) -> None:
    head, look, leave = SWITCHES[name]
    rows = seen(project, f"{head}\ndef look():\n    return {look}\ndef leave():\n    {leave}\n")
    assert len({process for _, process in rows}) == 1
    assert rows[0][0] == rows[2][0] == rows[4][0]
    assert rows[1][0] == rows[3][0] != rows[0][0]


def test_a_library_that_a_step_imports_is_as_its_import_leaves_it(project: Project) -> None:
    rows = seen(
        project,
        """
def look():
    import matplotlib, pandas
    return matplotlib.rcParams["lines.linewidth"], pandas.get_option("display.max_rows")

def leave():
    import matplotlib, pandas
    matplotlib.rcParams["lines.linewidth"] = 9
    pandas.set_option("display.max_rows", 3)
""".replace("def look():", "def look():\n    if not hasattr(look, 'calls'): look.calls = 0"),
    )
    assert rows[0][0] == rows[2][0] == rows[4][0] != rows[1][0]


def test_pictures_of_three_tasks_have_one_line_each(project: Project) -> None:
    out = project.succeed(
        """
        import matplotlib
        matplotlib.use("Agg")
        import matplotlib.pyplot as plt
        @step
        def draw(i):
            plt.plot([0, 1], [0, i])
            headrace.log_figure("figure", plt)
            return len(plt.gca().lines)
        @flow(max_parallel=1)
        def train():
            return [draw(i) for i in range(3)]
        print(train())
        print(len(headrace.Run("train").tasks[0].artifacts))
        """
    )
    assert out.splitlines()[0] == "[1, 1, 1]"


# --- threads and processes --------------------------------------------------------------------------------------

RUNNING = {
    "daemon thread": "threading.Thread(target=watch, daemon=True).start()",
    "thread": "threading.Thread(target=watch).start()",
    "raw thread": "_thread.start_new_thread(watch, ())",
    "timer": "threading.Timer(0.1, watch).start()",
    "pool with work": "POOLS.append(ThreadPoolExecutor(1)); POOLS[-1].submit(watch)",
    "pool in a function of C": "POOLS.append(ThreadPool(1)); "
    "POOLS[-1].map_async(time.sleep, [0.2], callback=lambda _: watch())",
    "callback of a future": "POOLS.append(ThreadPoolExecutor(1)); "
    "POOLS[-1].submit(time.sleep, 0.1).add_done_callback(lambda _: watch())",
    "pool of multiprocessing": "POOLS.append(ThreadPool(1)); POOLS[-1].apply_async(watch)",
    "event loop": "loop = asyncio.new_event_loop(); threading.Thread(target=loop.run_forever, daemon=True).start(); "
    "asyncio.run_coroutine_threadsafe(later(), loop)",
    "queue listener": "queue = Queue(); listener = QueueListener(queue, Slow()); listener.start(); "
    "[queue.put(logging.makeLogRecord({'msg': 'watching'})) for _ in range(5)]",
    "child": "subprocess.Popen(['sh', '-c', 'for i in 1 2 3 4 5 6 7 8; do sleep 0.1; echo watching; done'])",
    "forked child": "multiprocessing.get_context('fork').Process(target=watch).start()",
    "sampler of processes": "threading.Thread(target=sample, daemon=True).start()",
}
LEAVES = """
import _thread, asyncio, logging, multiprocessing, subprocess, threading
from concurrent.futures import ThreadPoolExecutor
from logging.handlers import QueueListener
from multiprocessing.pool import ThreadPool
from queue import Queue

POOLS = []

def watch():
    for second in range(10):
        time.sleep(0.05)
        headrace.log_metric("cpu", second)
        print("watching", second)

def sample():
    while True:
        headrace.log_metric("cpu", 1)
        print("watching", end=" ")
        time.sleep(0.01)

async def later():
    await asyncio.sleep(0.1)
    watch()

class Slow(logging.Handler):
    def emit(self, record):
        time.sleep(0.1)
        headrace.log_metric("cpu", 1)
        print(record.msg)

@step
def watched():
    {leave}
    return os.getpid()

@step
def quiet():
    time.sleep(0.7)
    print("quiet")
    return os.getpid()

@flow(max_parallel=1)
def train():
    processes = {{watched(), quiet()}}
    return len(processes)

if __name__ == "__main__":
    print(train())
"""


@pytest.mark.parametrize("name", RUNNING)
def test_what_runs_on_after_its_task_is_not_recorded_as_another_ones(project: Project, name: str) -> None:
    out = project.succeed(LEAVES.format(leave=RUNNING[name]))
    assert project.log("quiet") == b"quiet\n"
    assert b"is still running after the step has ended" in project.log("watched", stream="err")
    assert not [one for one in project.metadata.metrics(project.last().id) if one.step == "quiet"]
    assert out == "2\n"


def test_threads_that_wait_for_work_do_not_cost_a_worker(project: Project) -> None:
    out = project.succeed(
        """
        from concurrent.futures import ThreadPoolExecutor
        from multiprocessing.pool import ThreadPool
        pools = []
        @step
        def work(i):
            if not pools:
                pools.extend([ThreadPoolExecutor(2), ThreadPool(2)])
            done = threads(i), pools[0].submit(headrace.log_metric, "m", i).result(), pools[1].map(abs, [i])
            return os.getpid()
        def threads(i):
            import threading
            one = threading.Thread(target=print, args=("task", i))
            one.start()
            return one
        @flow(max_parallel=1)
        def train():
            return len({work(i) for i in range(10)})
        print(train())
        """
    )
    assert out == "1\n"
    assert [project.log("work", n) for n in range(1, 11)] == [f"task {n}\n".encode() for n in range(10)]
    metrics = project.metadata.metrics(project.last().id)
    assert sorted((one.number, one.values) for one in metrics) == [(n + 1, (float(n),)) for n in range(10)]


def test_a_thread_that_is_no_daemon_finishes_its_work(project: Project) -> None:
    project.succeed(
        """
        import threading
        def save():
            time.sleep(0.3)
            open("saved", "w").close()
        @step
        def work():
            threading.Thread(target=save).start()
        @flow
        def train():
            work()
            time.sleep(2)
        train()
        """
    )
    assert (project.path / "saved").exists()


def test_tasks_of_asyncio_that_a_step_leaves_end_with_it(project: Project) -> None:
    out = project.succeed(
        """
        import asyncio
        async def watch():
            while True:
                print("watching")
                await asyncio.sleep(0.01)
        @step
        async def work():
            kept.append(asyncio.ensure_future(watch()))
            await asyncio.sleep(0.03)
            return os.getpid()
        kept = []
        @step
        async def quiet():
            await asyncio.sleep(0.3)
            return os.getpid()
        @flow(max_parallel=1)
        async def train():
            return len({await work(), await quiet()})
        print(train())
        """
    )
    assert out == "1\n"
    assert project.log("quiet") == b""


def test_a_failed_attempt_leaves_nothing_to_its_retry(project: Project) -> None:
    project.succeed(
        """
        import threading
        def watch():
            while True:
                print("watching")
                time.sleep(0.01)
        @step(retries=1)
        def work():
            if not os.path.exists("tried"):
                open("tried", "w").close()
                threading.Thread(target=watch, daemon=True).start()
                raise ValueError
            time.sleep(0.3)
            print("again")
        @flow(max_parallel=1)
        def train():
            work()
        train()
        """
    )
    chunks = project.metadata.logs(project.last().id, TaskId("work", 1))
    assert b"".join(one.data for one in chunks if one.attempt == 2) == b"again\n"
