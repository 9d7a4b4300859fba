"""Random numbers of tasks: different in each, the same again with the same seed, as in plain Python if one is given."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.integration.conftest import Project

#: Generators without a seed, in many places, and a function that draws a number of each.
PLACES = """
import functools, random, threading
from collections import deque
from dataclasses import dataclass, field
import numpy as np

RNG = np.random.default_rng()
PYTHON = random.Random()
OLD = np.random.RandomState()
TWISTER = np.random.Generator(np.random.MT19937())
PHILOX = np.random.Generator(np.random.Philox())
SFC = np.random.Generator(np.random.SFC64())
DXSM = np.random.Generator(np.random.PCG64DXSM())
OF_OTHER_BITS = np.random.RandomState(np.random.PCG64())
CHILDREN = [np.random.default_rng(one) for one in np.random.SeedSequence().spawn(3)]
NESTED = {"deep": [({"rng": random.Random()},)]}
QUEUE = deque([np.random.default_rng()])
normal = np.random.default_rng().normal
uniform = random.Random().random
bound = functools.partial(np.random.default_rng().normal, 0)

class Augmenter:
    rng = np.random.default_rng()
    class Inner:
        rng = random.Random()
    def __init__(self):
        self.own = np.random.default_rng()
        self._Augmenter__hidden = random.Random()

@dataclass(slots=True)
class Slotted:
    rng: random.Random = field(default_factory=random.Random)

class Table(dict):
    pass

class Dice(random.Random):
    def seed(self, *args):
        super().seed(*args)

AUGMENTER, SLOTTED, TABLE, DICE = Augmenter(), Slotted(), Table(rng=np.random.default_rng()), Dice()

def closure():
    rng = np.random.default_rng()
    return lambda: rng.random()

CLOSURE = closure()

def by_default(rng=np.random.default_rng(), *, other=random.Random()):
    return [rng.random(), other.random()]

def attribute():
    return attribute.rng.random()
attribute.rng = random.Random()

def draws():
    return [float(one) for one in (
        random.random(), np.random.rand(), RNG.random(), PYTHON.random(), OLD.rand(), TWISTER.random(),
        PHILOX.random(), SFC.random(), DXSM.random(), OF_OTHER_BITS.rand(), *[one.random() for one in CHILDREN],
        NESTED["deep"][0][0]["rng"].random(), QUEUE[0].random(), normal(), uniform(), bound(),
        Augmenter.rng.random(), Augmenter.Inner.rng.random(), AUGMENTER.own.random(),
        AUGMENTER._Augmenter__hidden.random(), SLOTTED.rng.random(), TABLE["rng"].random(), DICE.random(), CLOSURE(),
        *by_default(), attribute(),
    )]
"""
#: Makes workers start as fresh processes: something has threads when the run begins.
THREAD = """
import threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
"""
FLOW = """
@step
def draw(i):
    return draws()

@flow
def train(n: int = 40, isolated: int = 0):
    return [one.result() for one in (draw.options(isolated=True) if isolated else draw).map(range(n))]

if __name__ == "__main__":
    import json
    print(json.dumps(train(*map(int, sys.argv[1:]))))
"""


def digests(project: Project) -> dict[str, str]:
    """Digests of what the tasks of the newest run returned, and of its own result."""
    found = project.metadata.artifacts(project.last().id)
    return {f"{one.step}/{one.number}/{one.name}": one.value.digest.hex() for one in found if one.kind == "output"}


def headrace(project: Project, *words: str, code: int = 0) -> str:
    done = project.finish(project.start("-m", "headrace", *words))
    assert done.code == code, done.err
    return done.out if code == 0 else done.err


# --- tasks differ -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thread", ["", THREAD], ids=["forked", "fresh"])
@pytest.mark.parametrize(("count", "isolated"), [(40, 0), (6, 1)], ids=["warm", "isolated"])
def test_generators_in_every_place_differ_between_tasks_and_between_each_other(
    project: Project, thread: str, count: int, isolated: int
) -> None:
    rows = json.loads(project.succeed(PLACES + thread + FLOW, str(count), str(isolated)))
    numbers = [number for row in rows for number in row]
    assert len(numbers) == count * 29
    assert len(set(numbers)) == len(numbers)


def test_a_thousand_tasks_draw_no_number_twice(project: Project) -> None:
    rows = json.loads(project.succeed(PLACES + FLOW, "1000"))
    numbers = [number for row in rows for number in row]
    assert len(set(numbers)) == len(numbers) == 29_000
    for column in list(zip(*rows, strict=True))[:10]:  # those that are uniform
        assert 0.45 < sum(column) / 1000 < 0.55


def test_generators_of_libraries_in_the_users_objects_are_found(project: Project) -> None:
    """As a Faker holds one: an instance of another package, some attributes deep."""
    package = project.path / "site-packages" / "fakelib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(
        "import random\n"
        "_shared = random.Random()\n"
        "class Generator:\n    def __init__(self):\n        self.__random = _shared\n"
        "    @property\n    def random(self):\n        return self.__random\n"
        "class Faker:\n    def __init__(self):\n        self._factories = [Generator()]\n"
        "    def name(self):\n        return self._factories[0].random.random()\n"
    )
    out = project.succeed(
        """
        sys.path.append("site-packages")
        from fakelib import Faker
        fake = Faker()
        @step
        def draw(i):
            return fake.name()
        @flow
        def train():
            names = [one.result() for one in draw.map(range(20))]
            return len(set(names))
        print(train())
        """
    )
    assert out == "20\n"


def test_generators_of_a_step_that_came_as_a_pickle_differ(project: Project) -> None:
    out = project.succeed(
        THREAD
        + """
import random
import numpy as np

@flow
def train():
    rng, other = np.random.default_rng(), random.Random()
    @step
    def draw(i):
        return [rng.random(), other.random()]
    rows = [one.result() for one in draw.options(isolated=True).map(range(5))]
    return len({float(number) for row in rows for number in row})

if __name__ == "__main__":
    print(train())
"""
    )
    assert out == "10\n"


# --- the same seed, the same numbers ------------------------------------------------------------------------------

REPEATED = (
    PLACES
    + """
@step(retries=3)
def draw(i):
    mark = f"tried-{i}"
    numbers = draws()
    if os.environ.get("FAIL") == "retry" and i % 3 == 0 and not os.path.exists(mark):
        open(mark, "w").close()
        raise ValueError("again")
    return numbers

@step
def once(i):
    if os.environ.get("FAIL") == "stop":
        raise ValueError("stop")
    return draws()

@flow
def train():
    numbers = draws()
    rows = [one.result() for one in draw.map(range(12))]
    return [numbers, rows, [once(i) for i in range(2)], draws()]
"""
)


def test_a_seed_repeats_on_any_number_of_workers_with_retries_and_after_a_resume(project: Project) -> None:
    project.write(REPEATED)
    headrace(project, "run", "--seed", "7", "--max-parallel", "1", "train.py")
    first = digests(project)
    headrace(project, "run", "train.py", "--max-parallel", "4", "--seed=7")
    assert digests(project) == first
    done = project.finish(project.start("-m", "headrace", "run", "--seed", "7", "train.py", FAIL="retry"))
    assert done.code == 0, done.err
    assert max(task.attempts for task in project.tasks("draw")) == 2
    assert digests(project) == first
    done = project.finish(project.start("-m", "headrace", "run", "--seed", "7", "train.py", FAIL="stop"))
    assert done.code == 1, done.err
    headrace(project, "resume")
    assert digests(project) == first
    headrace(project, "resume", "train", "--from", "draw")
    assert digests(project) == first
    headrace(project, "run", "train.py", "--seed", "8")
    assert not set(digests(project).values()) & set(first.values())


def test_a_seed_repeats_in_forked_and_fresh_workers(project: Project) -> None:
    project.write(REPEATED)
    headrace(project, "run", "--seed", "7", "train.py")
    first = digests(project)
    project.write(THREAD + REPEATED)
    headrace(project, "run", "--seed", "7", "train.py")
    assert digests(project) == first
    project.write(REPEATED + "if __name__ == '__main__':\n    train.run(seed=7)\n")
    assert project.finish(project.start("train.py")).code == 0
    assert digests(project) == first


def test_a_run_is_repeated_with_the_seed_that_it_recorded(project: Project) -> None:
    project.write(REPEATED)
    found = json.loads(headrace(project, "run", "--json", "train.py"))
    first = digests(project)
    again = json.loads(headrace(project, "run", "--json", "--seed", str(found["seed"]), "train.py"))
    assert again["seed"] == found["seed"]
    assert digests(project) == first
    another = json.loads(headrace(project, "run", "--json", "train.py"))
    assert another["seed"] != found["seed"]
    assert not set(digests(project).values()) & set(first.values())


def test_calls_with_numbers_of_the_flow_are_known_again_after_a_resume(project: Project) -> None:
    project.write(
        """
        import random
        @step
        def work(x):
            return x
        @step
        def stop():
            assert os.environ.get("GO")
        @flow
        def train():
            values = [work(random.random()) for _ in range(5)]
            stop()
            return values
        """
    )
    headrace(project, "run", "train.py", code=1)
    done = project.finish(project.start("-m", "headrace", "resume", "--json", GO="1"))
    found = json.loads(done.out)
    assert (found["executed"], found["reused"]) == (1, 5)


def test_libraries_and_modules_that_a_step_imports_begin_with_its_seed(project: Project) -> None:
    (project.path / "helper.py").write_text(
        "import random\nimport numpy\nRNG = numpy.random.default_rng()\nPYTHON = random.Random()\n"
        "SEEDED = numpy.random.default_rng(3)\n"
    )
    project.write(
        """
        @step
        def draw(i):
            import random
            import numpy.random
            import helper
            return [random.random(), float(numpy.random.rand()), float(helper.RNG.random()), helper.PYTHON.random(),
                float(helper.SEEDED.random())]
        @flow
        def train():
            assert "numpy" not in sys.modules
            rows = [one.result() for one in draw.map(range(8))]
            assert len({number for row in rows for number in row}) == 8 * 4 + 1, rows
            return rows
        """
    )
    headrace(project, "run", "--seed", "7", "--max-parallel", "1", "train.py")
    first = digests(project)
    headrace(project, "run", "--seed", "7", "--max-parallel", "3", "train.py")
    assert digests(project) == first
    project.write((project.path / "train.py").read_text().replace("@step\n", "@step(isolated=True)\n"), "other.py")
    headrace(project, "run", "--seed", "7", "other.py")
    assert digests(project) == first


# --- what the file seeds ------------------------------------------------------------------------------------------

SEEDED = """
import random
{first}
import numpy as np
random.seed(42)
np.random.seed(0)
RNG = np.random.default_rng(7)
LONG = np.random.default_rng(122_807_528_840_384_100_672_342_137_672_332_424_406)
PYTHON = random.Random(1)
TEXT = random.Random("weights")
OLD = np.random.RandomState(3)
BITS = np.random.Generator(np.random.SFC64([1, 2]))
CHILD = np.random.default_rng(np.random.SeedSequence(5).spawn(1)[0])
SAMPLE = [random.random() for _ in range(2000)], np.random.rand(3000), RNG.random(3)

def draws():
    return [float(one) for one in (
        random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), RNG.random(), LONG.random(),
        PYTHON.random(), TEXT.random(), OLD.rand(), BITS.random(), CHILD.random(),
    )]
"""


@pytest.mark.parametrize("thread", ["", THREAD], ids=["forked", "fresh"])
@pytest.mark.parametrize("isolated", [0, 1], ids=["warm", "isolated"])
def test_what_the_file_seeds_is_as_an_import_leaves_it(project: Project, thread: str, isolated: int) -> None:
    (project.path / "plain.py").write_text(SEEDED.format(first="") + "import json\nprint(json.dumps(draws()))\n")
    plain = subprocess.run([sys.executable, "plain.py"], cwd=project.path, capture_output=True, check=True)
    rows = json.loads(project.succeed(SEEDED.format(first="") + thread + FLOW, "6", str(isolated)))
    assert rows == [json.loads(plain.stdout)] * 6
    late = SEEDED.format(first="") + "import headrace\nfrom headrace import flow, step\nimport os, sys, time\n"
    (project.path / "late.py").write_text(late + thread + FLOW)  # seeds before headrace is imported
    done = project.finish(project.start("late.py", "3", str(isolated)))
    assert json.loads(done.out) == rows[:3]
    headrace(project, "run", "--seed", "99", "late.py", "--n", "3")
    found = json.loads(headrace(project, "show", "--json"))
    assert found["surroundings"]["seed"] == 99


def test_a_seed_that_a_step_sets_holds_for_its_task(project: Project) -> None:
    out = project.succeed(
        """
        import random
        import numpy as np
        RNG = np.random.default_rng()
        @step
        def seeds():
            random.seed(1)
            np.random.seed(1)
            RNG.bit_generator.state = np.random.PCG64(1).state
            return [random.random(), float(np.random.rand()), float(RNG.random())]
        @step
        def draws(i):
            return [random.random(), float(np.random.rand()), float(RNG.random())]
        @flow(max_parallel=1)
        def train():
            fixed = seeds()
            rows = [fixed]
            for i in range(3):
                rows.append(draws(i))
                assert seeds.submit().result() == fixed
            return len({number for row in rows for number in row})
        print(train())
        """
    )
    assert out == "12\n"


def test_the_flow_leaves_generators_as_it_found_them(project: Project) -> None:
    out = project.succeed(
        """
        import random
        import numpy as np
        RNG = np.random.default_rng()
        @flow(seed=5)
        def train():
            return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), RNG.random()]
        before = random.getstate(), np.random.get_state()[1].tolist(), RNG.bit_generator.state
        one = train()
        after = random.getstate(), np.random.get_state()[1].tolist(), RNG.bit_generator.state
        other = train()
        print(before == after, one == other, headrace.Run("train").seed)
        random.seed(3)
        expected = random.Random(3).random()
        print(train()[0] == expected)
        """
    )
    assert out == "True True 5\nTrue\n"


# --- saying it ----------------------------------------------------------------------------------------------------

SAID = """
import random
@step
def draw():
    return [random.random(), headrace.task_seed(), headrace.task_seed("split")]
@flow
def train():
    return [draw(), headrace.task_seed(), headrace.task_seed("split")]
"""


def test_the_seed_is_recorded_and_shown(project: Project) -> None:
    project.write(SAID)
    headrace(project, "run", "--seed", "18446744073709551615", "train.py")
    assert "18446744073709551615" in headrace(project, "show")
    headrace(project, "run", "--seed", "0", "train.py")
    shown = json.loads(headrace(project, "diff", "--json", "train/1", "train/2"))
    assert "18446744073709551615" in json.dumps(shown["facts"])
    headrace(project, "resume", "train/2", "--from", "draw")
    assert json.loads(headrace(project, "show", "--json", "train/2"))["surroundings"]["seed"] == 0


@pytest.mark.parametrize("seed", ["-1", "x", "1.5", "18446744073709551616", ""])
def test_what_is_not_a_seed_is_refused(project: Project, seed: str) -> None:
    project.write(SAID)
    assert "--seed wants a whole number" in headrace(project, "run", f"--seed={seed}", "train.py", code=2)


@pytest.mark.parametrize("seed", ["-1", "'x'", "1.5", "2**64", "True"])
def test_what_is_not_a_seed_is_refused_in_code(project: Project, seed: str) -> None:
    assert "seed" in project.fail(SAID.replace("@flow", f"@flow(seed={seed})"))
    assert "seed" in project.fail(SAID + f"train.run(seed={seed})")


def test_a_parameter_called_seed_is_the_flows(project: Project) -> None:
    project.write("@flow\ndef train(seed: int = 1):\n    return seed\nif len(sys.argv) == 1: train.run(seed=3)\n")
    headrace(project, "run", "--seed", "5", "train.py", "--seed", "9")
    found = json.loads(headrace(project, "show", "--json"))
    assert (found["surroundings"]["seed"], found["run"]["params"]["seed"]) == (5, 9)
    assert project.finish(project.start("train.py")).code == 0
    assert project.last().number == 2
    assert json.loads(headrace(project, "show", "--json"))["run"]["params"]["seed"] == 3


def test_a_task_has_a_seed_to_hand_on(project: Project) -> None:
    out = project.succeed(
        SAID
        + """
@step(retries=1)
def fit(i):
    seeds = [headrace.task_seed(), headrace.task_seed("split"), headrace.task_seed()]
    if not os.path.exists(f"tried-{i}"):
        with open(f"tried-{i}", "w") as file:
            print(*seeds, file=file)
        raise ValueError
    assert open(f"tried-{i}").read().split() == [str(one) for one in seeds]
    return seeds

@flow(seed=3)
def fits():
    rows = [one.result() for one in fit.map(range(10))]
    return rows, headrace.task_seed()

if __name__ == "__main__":
    rows, own = fits()
    assert all(row[0] == row[2] != row[1] for row in rows)
    assert len({number for row in rows for number in row}) == 20
    assert all(0 <= number < 2**32 for row in rows for number in row)
    assert fits() == (rows, own)
    plain = draw()
    assert plain[1] != draw()[1]
    print("good")
"""
    )
    assert out == "good\n"


def test_a_resume_of_a_run_without_a_seed_gets_one(project: Project) -> None:
    """As runs of earlier versions are."""
    import msgspec

    from headrace.model.records import RunDetails, lease_name
    from headrace.stores.metadata.protocol import RunChange

    project.write(REPEATED)
    assert project.finish(project.start("-m", "headrace", "run", "train.py", FAIL="stop")).code == 1
    run = project.last()
    details = msgspec.msgpack.decode(project.metadata.run_by_id(run.id).details, type=RunDetails)  # type: ignore[union-attr]
    lease: Any = project.metadata.acquire(lease_name(run.id), "test:1:1", 10)
    project.metadata.commit(
        [RunChange(run_id=run.id, details=msgspec.msgpack.encode(msgspec.structs.replace(details, seed=None)))],
        lease,
    )
    project.metadata.release(lease)
    headrace(project, "resume")
    assert json.loads(headrace(project, "show", "--json"))["surroundings"]["seed"] is not None


# --- flows written for Metaflow -----------------------------------------------------------------------------------

METAFLOW = """
import random
from headrace.metaflow import FlowSpec, Parameter, retry, step
RNG = random.Random()
class DrawFlow(FlowSpec):
    @step
    def start(self):
        self.parts = list(range(6))
        self.next(self.work, foreach="parts")
    @retry(times=1, minutes_between_retries=0)
    @step
    def work(self):
        self.numbers = [random.random(), RNG.random()]
        with open("numbers.txt", "a") as file:
            print(*self.numbers, file=file)
        if not os.path.exists(f"tried-{self.input}"):
            open(f"tried-{self.input}", "w").close()
            raise ValueError("again")
        self.next(self.join)
    @step
    def join(self, inputs):
        self.found = sorted(one.numbers for one in inputs)
        self.next(self.end)
    @step
    def end(self):
        assert os.environ.get("FAIL") is None
        self.last = random.random()
if __name__ == "__main__":
    DrawFlow()
"""


def drawn(project: Project) -> list[str]:
    """The numbers of all attempts of the runs since the last look."""
    file = project.path / "numbers.txt"
    numbers = file.read_text().split()
    file.unlink()
    for mark in project.path.glob("tried-*"):
        mark.unlink()
    return numbers


def results(project: Project) -> dict[str, str]:
    """Digests of what the last steps made of the numbers."""
    found = {name.rpartition("/")[2]: digest for name, digest in digests(project).items()}
    return {name: found[name] for name in ("found", "last")}


def test_tasks_and_retries_of_a_metaflow_file_draw_by_chance_without_a_seed(project: Project) -> None:
    project.write(METAFLOW)
    headrace(project, "run", "train.py")
    numbers = drawn(project)
    assert len(set(numbers)) == len(numbers) == 2 * 2 * 6
    assert json.loads(headrace(project, "show", "--json"))["surroundings"]["seed"] is None


def test_a_seed_repeats_a_metaflow_file_with_retries_and_resumes(project: Project) -> None:
    project.write(METAFLOW)
    headrace(project, "run", "--seed", "5", "train.py")
    numbers, first = drawn(project), results(project)
    assert len(numbers) == 2 * 2 * 6
    assert len(set(numbers)) == 2 * 6
    headrace(project, "run", "train.py", "--seed", "5", "--max-workers", "1")
    assert set(drawn(project)) == set(numbers)
    assert results(project) == first
    done = project.finish(project.start("-m", "headrace", "run", "--seed", "5", "train.py", FAIL="1"))
    assert done.code == 1
    done = project.finish(project.start("train.py", "resume"))
    assert done.code == 0, done.err
    assert results(project) == first


def test_a_parameter_called_seed_is_the_metaflow_files(project: Project) -> None:
    project.write(
        METAFLOW.replace("class DrawFlow(FlowSpec):", "class DrawFlow(FlowSpec):\n    seed = Parameter('seed')")
    )
    headrace(project, "run", "--seed", "5", "train.py", "--seed", "9")
    found = json.loads(headrace(project, "show", "--json"))
    assert (found["surroundings"]["seed"], found["run"]["params"]["seed"]) == (5, "9")


SPAWNING = """
import copy
import numpy as np
RNG = np.random.default_rng({seed})
BITS = np.random.Philox({seed})
SEQUENCE = np.random.SeedSequence({seed})
SHARED = np.random.SeedSequence({seed})
OF_SHARED = np.random.default_rng(SHARED)
CHILD = np.random.default_rng({seed}).spawn(2)[1]
MANY = [np.random.Generator(np.random.MT19937({seed})), np.random.Generator(np.random.PCG64DXSM({seed}))]
GIVEN = [{seed}]
RNG.spawn(3)

def draws():
    spawned = [*RNG.spawn(2), *CHILD.spawn(1), np.random.default_rng(BITS.seed_seq.spawn(1)[0])]
    spawned += [np.random.default_rng(one) for one in (*SEQUENCE.spawn(2), *SHARED.spawn(1))]
    spawned += [*OF_SHARED.spawn(1), *MANY[0].spawn(1), *MANY[1].spawn(1), np.random.default_rng(SEQUENCE)]
    spawned += RNG.spawn(1)[0].spawn(1)
    return [one.random() for one in spawned]
"""
SPAWN = """
from spawning import *

@step
def draw(i, again=False):
    if again and not os.path.exists(f"tried-{i}"):
        open(f"tried-{i}", "w").close()
        draws()
        raise OSError
    return draws()

@flow
def train(out: str = "out.json"):
    import json
    mine = draws()
    found = [mine, *[one.result() for one in draw.map(range(6))]]
    found += [one.result() for one in draw.options(isolated=True, retries=1).map(range(2), again=True)]
    open(out, "w").write(json.dumps(found))
"""


def spawned(project: Project, seed: str) -> list[list[list[float]]]:
    (project.path / "spawning.py").write_text(SPAWNING.replace("{seed}", seed))
    project.write(SPAWN)
    found = []
    for name, number in (("a", "42"), ("b", "42"), ("c", "43")):
        for path in project.path.glob("tried-*"):
            path.unlink()
        headrace(project, "run", "train.py", "--seed", number, "--out", name)
        found.append(json.loads((project.path / name).read_text()))
    return found


def test_children_of_generators_differ_between_tasks_and_repeat_with_a_seed(project: Project) -> None:
    first, again, other = spawned(project, "")
    numbers = [number for task in (*first, *other) for number in task]
    assert len(set(numbers)) == len(numbers)
    assert first == again


def test_children_of_seeded_generators_are_those_of_an_import_in_each_task(project: Project) -> None:
    runs = spawned(project, "7")
    space: dict[str, Any] = {}
    exec((project.path / "spawning.py").read_text(), space)
    expected = space["draws"]()
    assert [task for run in runs for task in run] == [expected] * 27


def test_the_flow_leaves_the_children_of_generators_as_it_found_them(project: Project) -> None:
    out = project.succeed(
        """
        import numpy as np
        RNG, SEQUENCE = np.random.default_rng(), np.random.SeedSequence()
        RNG.spawn(2), SEQUENCE.spawn(1)

        @step
        def nothing():
            pass

        @flow
        def train():
            nothing()
            return RNG.spawn(1)[0].random(), SEQUENCE.spawn(1)[0].entropy

        if __name__ == "__main__":
            before = repr(RNG.bit_generator.seed_seq), repr(SEQUENCE)
            one, other = train.run(seed=1).result, train.run(seed=1).result
            print(one == other, before == (repr(RNG.bit_generator.seed_seq), repr(SEQUENCE)))
        """
    )
    assert "True True" in out, out
