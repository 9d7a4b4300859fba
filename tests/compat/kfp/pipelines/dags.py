"""DAGs: chains, nesting, order, outputs, sharing of components."""

from typing import List, NamedTuple

from kfp import dsl

from .parts import add, case, mapping, number, numbers, read, shown, shown_dict, text, total, words, write


@case()
@dsl.pipeline
def one_task() -> int:
    return number(n=5).output


@case()
@dsl.pipeline
def no_outputs():
    number(n=5)


@case()
@dsl.pipeline
def chain() -> int:
    a = number(n=1)
    b = add(a=a.output)
    return add(a=b.output, b=a.output).output


@case()
@dsl.pipeline
def diamond() -> int:
    a = number(n=1)
    b = add(a=a.output, b=1)
    c = add(a=a.output, b=2)
    return add(a=b.output, b=c.output).output


@case()
@dsl.pipeline
def ordered_by_after() -> str:
    first = number(n=1)
    second = text(x="later").after(first)
    third = text(x="last").after(second, first)
    return third.output


@dsl.pipeline
def inner(k: int) -> int:
    return add(a=add(a=k).output).output


@dsl.pipeline
def middle(k: int, b: int = 3) -> NamedTuple("Middle", [("left", int), ("right", int)]):
    made = NamedTuple("Middle", [("left", int), ("right", int)])
    return made(left=inner(k=k).output, right=inner(k=b).output)


@case()
@dsl.pipeline
def nested_once() -> int:
    return inner(k=4).output


@case()
@dsl.pipeline
def nested_twice() -> int:
    m = middle(k=1)
    return add(a=m.outputs["left"], b=m.outputs["right"]).output


@case({"start": 8})
@dsl.pipeline
def nested_with_arguments(start: int, other: int = 2) -> int:
    m = middle(k=start, b=other)
    return total(xs=[1, 2]).after(m).output


@case()
@dsl.pipeline
def one_pipeline_used_twice() -> NamedTuple("Both", [("x", int), ("y", int)]):
    made = NamedTuple("Both", [("x", int), ("y", int)])
    return made(x=inner(k=1).output, y=inner(k=100).output)


@dsl.pipeline
def artifacts_only(data: dsl.Input[dsl.Dataset]) -> str:
    return read(data=data).output


@case()
@dsl.pipeline
def nested_with_an_artifact_alone() -> str:
    w = write(content="inside")
    return artifacts_only(data=w.outputs["out"]).output


@dsl.pipeline
def makes_artifact(content: str) -> dsl.Dataset:
    return write(content=content).outputs["out"]


@case()
@dsl.pipeline
def nested_that_returns_an_artifact() -> str:
    return read(data=makes_artifact(content="from inside").output).output


@case()
@dsl.pipeline
def artifact_as_the_output() -> dsl.Dataset:
    return write(content="out").outputs["out"]


@case()
@dsl.pipeline
def artifact_and_parameters_as_outputs() -> NamedTuple("Out", [("n", int), ("d", dsl.Dataset)]):
    made = NamedTuple("Out", [("n", int), ("d", dsl.Dataset)])
    return made(n=number(n=3).output, d=write(content="d").outputs["out"])


@case()
@dsl.pipeline
def artifact_read_by_two() -> str:
    w = write(content="shared")
    a = read(data=w.outputs["out"])
    b = read(data=w.outputs["out"]).after(a)
    return b.output


@case()
@dsl.pipeline
def values_of_all_types() -> NamedTuple("All", [("l", list), ("d", dict), ("t", str)]):
    made = NamedTuple("All", [("l", list), ("d", dict), ("t", str)])
    m = mapping()
    shown_dict(x=m.output)
    n = numbers(n=3)
    shown(x=n.output)
    return made(l=n.output, d=m.output, t=text(x="ü \n 'x' \"y\" {z} $HOME `ls`").output)


@case()
@dsl.pipeline
def an_empty_text_and_zero_are_values() -> NamedTuple("All", [("t", str), ("n", int)]):
    made = NamedTuple("All", [("t", str), ("n", int)])
    return made(t=text(x="").output, n=add(a=0, b=0).output)


@case()
@dsl.pipeline
def texts_of_a_list() -> str:
    return shown(x=words().output).output


@case()
@dsl.pipeline
def a_wide_join() -> int:
    parts = [number(n=n) for n in range(6)]
    joined = add(a=parts[0].output, b=parts[1].output)
    for one in parts[2:]:
        joined = add(a=joined.output, b=one.output)
    return joined.output


@dsl.pipeline
def level_three(x: str) -> str:
    return text(x=x).output


@dsl.pipeline
def level_two(x: str) -> str:
    return level_three(x=x).output


@dsl.pipeline
def level_one(x: str) -> str:
    return level_two(x=x).output


@case({"x": "deep"})
@dsl.pipeline
def nested_four_deep(x: str) -> str:
    return level_one(x=x).output


@case()
@dsl.pipeline(name="named-pipeline", display_name="A name for people", description="What it is for.")
def pipeline_with_a_display_name() -> int:
    return number(n=1).set_display_name("the first number").output


@case({"xs": [1, 2, 3], "d": {"n": 1.5, "m": {"k": [4]}}, "f": 2.0, "b": False})
@dsl.pipeline
def arguments_of_all_types(xs: List[int], d: dict, f: float, b: bool, s: str = "dflt") -> str:
    shown(x=xs)
    shown_dict(x=d)
    return text(x=f"{f} {b} {s}").output
