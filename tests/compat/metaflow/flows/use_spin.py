"""Not a flow: spins steps of ``spun.py`` from a program, and looks at what was kept."""

import asyncio
import os
import pathlib

from metaflow import Flow, Runner, Step, Task, inspect_spin, metadata, namespace

namespace(None)
run = Flow("Spun").latest_run
works = {task.index: task for task in run["work"]}


def lines(text, *begins):
    """What the step itself printed."""
    return [one for one in text.splitlines() if one.split(" ")[0] in (*begins, "Spun")]


def show(label, spun, *begins):
    task = spun.task
    print(label, spun.status, spun.returncode, type(spun).__name__, type(task).__name__, task.pathspec.split("/")[0::2])
    print("   ", lines(task.stdout, *begins))
    print("   ", {one.id: one.data for one in sorted(task, key=lambda one: one.id)})
    return task


with Runner("spun.py", show_output=False) as runner:
    task = show("kept", runner.spin(works[1].pathspec, persist=True), "work", "before", "after")
    print(task.successful, task.finished, task.index, task.data.product, task["product"].data, task.exception)
    show("not kept", runner.spin(works[1].pathspec), "work", "before", "after")
    show("bare", runner.spin(works[2].pathspec, skip_decorators=True, persist=True), "work", "before", "after")
    show("join", runner.spin("join", persist=True), "join")
    show("by run", runner.spin(f"{run.id}/both", persist=True), "both", "cannot")
    show("by flow", runner.spin(f"Spun/{run.id}/left", persist=True), "left")

    pathlib.Path("given.py").write_text("ARTIFACTS = {'word': 'given', 'alpha': 100, 'unheard': [1]}\n")
    work = runner.spin(works[0].pathspec, artifacts_module="given.py", persist=True)
    print("given", lines(work.task.stdout, "work"), work.task.data.word, work.task.data.product)
    print(lines(runner.spin("end", artifacts_module="given.py").task.stdout, "end"))
    branch = works[2].pathspec.partition("/")[2]
    pathlib.Path("given.py").write_text(f"ARTIFACTS = {{'{branch}': {{'product': 99}}, 'word': 'no branch'}}\n")
    join = runner.spin("join", artifacts_module="given.py", persist=True)
    print("given", lines(join.task.stdout, "join"), join.task.data.products)

    for label, pathspec, options in (
        ("unknown", works[0].pathspec, {"nonsense": 1}),
        ("wrong type", works[0].pathspec, {"persist": "yes"}),
        ("no step", "nowhere", {}),
        ("no task", f"{run.id}/work/12345", {}),
        ("no run", "12345/work", {}),
        ("other flow", "Other/12345/work/1", {}),
        ("gang", "gang", {}),
        ("no file", works[0].pathspec, {"artifacts_module": "absent.py"}),
    ):
        try:
            print(label, runner.spin(pathspec, **options).status)
        except Exception as error:
            print(label, type(error).__name__, str(error).startswith("Error executing"))

    pathlib.Path("break-work").touch()
    try:
        runner.spin(works[0].pathspec, persist=True)
    except Exception as error:
        print("broken", type(error).__name__, "ValueError: broken" in str(error))
    os.remove("break-work")

    async def later():
        spun = await runner.async_spin(works[1].pathspec, persist=True)
        await spun.wait()
        print("later", spun.status, spun.task.data.product)

    asyncio.run(later())

kept = task.pathspec
print("runs", [one.id == run.id for one in Flow("Spun")], Flow("Spun").latest_run.id == run.id)
inspect_spin(".")
print("spun", len(list(Flow("Spun"))) > 5, Task(kept).data.product, Step(kept.rpartition("/")[0]).task.pathspec == kept)
broken = [task for one in Flow("Spun") for step in one for task in step if task.exception is not None]
print(
    len(broken),
    [str(task.exception).rstrip().endswith("ValueError: broken") for task in broken],
    [task.successful for task in broken],
)
metadata("local@" + os.getcwd())
print("runs", [one.id == run.id for one in Flow("Spun")])
