"""Features combined: loops, branches, exit handlers, nested pipelines, importers, retries, artifacts in one another."""

from typing import List, NamedTuple, Optional

from kfp import dsl

from .parts import (
    add,
    always,
    broken,
    case,
    double,
    flag,
    mapping,
    number,
    numbers,
    read,
    read_all,
    records,
    shown,
    shown_dict,
    state,
    text,
    total,
    words,
    write,
)


@dsl.pipeline
def judged(n: int) -> str:
    with dsl.If(n > 2):
        a = text(x="big")
    with dsl.Else():
        b = text(x="small")
    return dsl.OneOf(a.output, b.output)


@case()
@dsl.pipeline
def choices_in_a_loop_collected() -> str:
    with dsl.ParallelFor([1, 3]) as n:
        j = judged(n=n)
    return shown(x=dsl.Collected(j.output)).output


@case()
@dsl.pipeline
def choices_in_a_loop_in_an_exit_handler():
    done = state()
    with dsl.ExitHandler(done):
        with dsl.ParallelFor([1, 3]) as n:
            text(x=judged(n=n).output)


@dsl.pipeline
def with_an_exit_task(x: str) -> str:
    done = always(x=f"exit {x}")
    with dsl.ExitHandler(done):
        text(x=x)
    return text(x=f"after {x}").output


@case()
@dsl.pipeline
def exit_handlers_of_nested_pipelines_in_a_loop():
    with dsl.ParallelFor(["a", "b"]) as x:
        with_an_exit_task(x=x)


@case()
@dsl.pipeline
def exit_task_that_is_a_pipeline() -> str:
    a = broken(message="first")
    cleaned = judged(n=3).after(a).ignore_upstream_failure()
    return text(x=cleaned.output).output


@case()
@dsl.pipeline
def branch_in_an_exit_handler_that_fails():
    done = state()
    with dsl.ExitHandler(done):
        n = number(n=1)
        with dsl.If(n.output == 1):
            broken(message="in a branch")
        with dsl.Else():
            text(x="never")


@dsl.pipeline
def written(words: List[str]) -> List[dsl.Dataset]:
    with dsl.ParallelFor(words) as x:
        w = write(content=x)
    return dsl.Collected(w.outputs["out"])


@case({"xs": ["p", "q"]})
@dsl.pipeline
def artifacts_of_a_nested_loop_read_together(xs: List[str]) -> str:
    return read_all(data=written(words=xs).output).output


@dsl.pipeline
def chosen_artifact(n: int) -> dsl.Dataset:
    with dsl.If(n == 1):
        a = write(content="one")
    with dsl.Else():
        b = write(content="other")
    return dsl.OneOf(a.outputs["out"], b.outputs["out"])


@case()
@dsl.pipeline
def chosen_artifacts_of_nested_pipelines() -> str:
    first = read(data=chosen_artifact(n=1).output)
    return text(x=f"{first.output} {read(data=chosen_artifact(n=2).output).output}").output


@case()
@dsl.pipeline
def chosen_artifacts_in_a_loop():
    with dsl.ParallelFor([1, 2]) as n:
        read(data=chosen_artifact(n=n).output)


@dsl.component
def fails_once(path: str, n: int) -> int:
    import os

    mine = f"{path}-{n}"
    if not os.path.exists(mine):
        open(mine, "w").close()
        print(f"» first try of {n}")
        raise RuntimeError("not yet")
    print(f"» second try of {n}")
    return n


@case({"path": "<file>"})
@dsl.pipeline
def iterations_are_tried_again(path: str) -> int:
    with dsl.ParallelFor([1, 2, 3]) as n:
        tried = fails_once(path=path, n=n).set_retry(2, backoff_duration="0s").set_caching_options(False)
    return total(xs=dsl.Collected(tried.output)).output


@case({"path": "<file>"})
@dsl.pipeline
def retry_in_a_branch_in_an_exit_handler(path: str):
    done = state()
    with dsl.ExitHandler(done):
        n = number(n=1)
        with dsl.If(n.output == 1):
            fails_once(path=path, n=7).set_retry(1, backoff_duration="0s").set_caching_options(False)


@dsl.component
def described(data: dsl.Input[dsl.Dataset]) -> str:
    print(f"» {type(data).__name__} {data.metadata['length']} {data.metadata['of'][0]} {data.uri.endswith('file')}")
    return data.metadata["of"][0]


@case({"path": "<file>"})
@dsl.pipeline
def imported_by_a_uri_of_a_parameter(path: str) -> str:
    imported = dsl.importer(
        artifact_uri=path, artifact_class=dsl.Dataset, reimport=False, metadata={"length": 3, "of": ["a", {"b": 1}]}
    )
    return described(data=imported.output).output


@case({"path": "<file>"})
@dsl.pipeline
def importer_in_a_branch_in_a_loop(path: str):
    with dsl.ParallelFor([1, 2]) as n:
        with dsl.If(n == 2):
            imported = dsl.importer(
                artifact_uri=path, artifact_class=dsl.Dataset, metadata={"length": 1, "of": ["x"]}
            )
            described(data=imported.output)


@dsl.component
def fitted(depth: int, model: dsl.Output[dsl.Model], metrics: dsl.Output[dsl.Metrics]) -> float:
    with open(model.path, "w") as file:
        file.write(f"model of depth {depth}")
    model.metadata["framework"] = "own"
    metrics.log_metric("accuracy", 1 - 0.5 / depth)
    return 1 - 0.5 / depth


@dsl.component
def best_of(scores: List[float], models: dsl.Input[List[dsl.Model]]) -> str:
    best = max(range(len(scores)), key=lambda one: scores[one])
    with open(models[best].path) as file:
        found = file.read()
    print(f"» best {found} of {len(models)} {models[best].metadata['framework']}")
    return found


@case({"depths": [1, 4, 2], "goal": 0.8})
@dsl.pipeline
def train_choose_publish(depths: List[int], goal: float) -> str:
    done = state()
    with dsl.ExitHandler(done, name="work"):
        with dsl.ParallelFor(depths, parallelism=2) as depth:
            f = fitted(depth=depth)
        best = best_of(scores=dsl.Collected(f.outputs["Output"]), models=dsl.Collected(f.outputs["model"]))
        with dsl.If(best.output == "model of depth 4"):
            text(x=f"publish {best.output}")
    return text(x="end").output


@case()
@dsl.pipeline
def metrics_of_iterations() -> List[dsl.Metrics]:
    with dsl.ParallelFor([1, 2]) as depth:
        f = fitted(depth=depth)
    return dsl.Collected(f.outputs["metrics"])


@dsl.component
def maybe(x: Optional[str] = None, n: int = 1) -> str:
    print(f"» maybe {x!r} {n!r}")
    return f"{x} {n}"


@dsl.pipeline
def optional_inside(x: Optional[str] = None, n: int = 4) -> str:
    return maybe(x=x, n=n).output


@case()
@dsl.pipeline
def optional_inputs_in_a_loop():
    with dsl.ParallelFor([1, 2]) as n:
        optional_inside(x="given", n=n)


@case({"x": "y"})
@dsl.pipeline
def optional_input_through_a_branch(x: Optional[str] = None):
    n = number(n=1)
    with dsl.If(n.output == 1):
        maybe(x=x)


@case()
@dsl.pipeline
def failure_in_a_loop_is_ignored_after_it() -> str:
    with dsl.ParallelFor(["x"]) as x:
        b = broken(message=x)
    always(x="after the loop").after(b).ignore_upstream_failure()
    return text(x="beside").output


@dsl.pipeline
def fails_deep(x: str):
    with dsl.ParallelFor(["only"]) as one:
        with dsl.If(one == "only"):
            broken(message=x)


@case()
@dsl.pipeline
def failure_in_a_nested_pipeline_in_an_exit_handler():
    done = state()
    with dsl.ExitHandler(done):
        fails_deep(x="deep")


@case({"limit": 2})
@dsl.pipeline
def conditions_on_items_and_parameters(limit: int):
    with dsl.ParallelFor([1, 2, 3]) as n:
        with dsl.If(n > limit):
            text(x="above")
        with dsl.Elif(n == limit):
            text(x="at")
        with dsl.Else():
            text(x="below")


@case()
@dsl.pipeline
def conditions_on_parts_of_items():
    with dsl.ParallelFor([{"who": "a", "n": 1}, {"who": "b", "n": 2}]) as one:
        who = text(x=one.who)
        with dsl.If(who.output == "b"):
            text(x=who.output)


@case()
@dsl.pipeline
def loop_over_the_items_of_a_loop():
    with dsl.ParallelFor([[1, 2], [3]]) as row:
        with dsl.ParallelFor(row) as n:
            text(x=f"item {n}")


@case()
@dsl.pipeline
def loop_over_the_output_of_a_task_in_a_branch():
    f = flag(x=True)
    with dsl.If(f.output == True):  # noqa: E712 - a channel
        made = numbers(n=2)
        with dsl.ParallelFor(made.output) as n:
            add(a=n, b=n)


@dsl.pipeline
def sums(xs: List[int]) -> NamedTuple("Sums", [("total", int), ("each", List[int])]):
    made = NamedTuple("Sums", [("total", int), ("each", List[int])])
    with dsl.ParallelFor(xs) as x:
        a = add(a=x, b=1)
    return made(total=total(xs=dsl.Collected(a.output)).output, each=dsl.Collected(a.output))


@case({"xs": [5, 6]})
@dsl.pipeline
def several_outputs_of_a_nested_loop(xs: List[int]) -> int:
    s = sums(xs=xs)
    shown(x=s.outputs["each"])
    with dsl.ParallelFor(s.outputs["each"]) as x:
        number(n=x)
    return s.outputs["total"]


@case()
@dsl.pipeline
def a_loop_after_a_loop() -> int:
    with dsl.ParallelFor([1, 2]) as x:
        a = add(a=x, b=0)
    joined = total(xs=dsl.Collected(a.output))
    with dsl.ParallelFor([10, 20]) as y:
        b = add(a=y, b=joined.output)
    return total(xs=dsl.Collected(b.output)).output


@case()
@dsl.pipeline
def everything_after_something() -> str:
    m = mapping()
    w = words().after(m)
    with dsl.ParallelFor(w.output) as x:
        t = text(x=x)
    r = records().after(t)
    d = double(x=1.25).after(r)
    shown_dict(x=m.output).after(d)
    return text(x=f"{d.output}").output


@case()
@dsl.pipeline
def named_groups():
    done = always(x="end").set_display_name("The end")
    with dsl.ExitHandler(done, name="The work"):
        with dsl.ParallelFor([1], name="Each number") as n:
            a = number(n=n).set_display_name("The number")
            with dsl.If(a.output == 1, name="It is one"):
                text(x="one")
