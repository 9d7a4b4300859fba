"""ParallelFor and Collected."""

from typing import List

from kfp import dsl

from .parts import add, case, mapping, number, numbers, read, read_all, records, shown, text, total, words, write


@case()
@dsl.pipeline
def loop_over_constants() -> List[int]:
    with dsl.ParallelFor([1, 2, 3]) as n:
        a = add(a=n)
    return dsl.Collected(a.output)


@case()
@dsl.pipeline
def loop_over_texts() -> List[str]:
    with dsl.ParallelFor(["a", "b {c}", "d'e\"f"]) as x:
        t = text(x=x)
    return dsl.Collected(t.output)


@case({"xs": [4, 5]})
@dsl.pipeline
def loop_over_a_parameter(xs: List[int]) -> int:
    with dsl.ParallelFor(xs) as n:
        a = add(a=n)
    return total(xs=dsl.Collected(a.output)).output


@case()
@dsl.pipeline
def loop_over_an_output() -> int:
    n = numbers(n=4)
    with dsl.ParallelFor(n.output) as i:
        a = add(a=i)
    return total(xs=dsl.Collected(a.output)).output


@case({"xs": []})
@dsl.pipeline
def loop_over_nothing(xs: List[int]) -> int:
    with dsl.ParallelFor(xs) as n:
        a = add(a=n)
    return total(xs=dsl.Collected(a.output)).output


@case()
@dsl.pipeline
def loop_with_a_limit() -> List[int]:
    with dsl.ParallelFor([1, 2, 3, 4, 5], parallelism=2) as n:
        a = add(a=n)
    return dsl.Collected(a.output)


@case()
@dsl.pipeline
def loop_over_mappings():
    with dsl.ParallelFor([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]) as one:
        text(x=f"{one.a} {one.b}")


@case()
@dsl.pipeline
def loop_over_parts_of_an_output():
    with dsl.ParallelFor(records().output) as one:
        text(x=one.name)


@case()
@dsl.pipeline
def whole_items_as_texts():
    with dsl.ParallelFor(records().output) as one:
        text(x=one)


@case()
@dsl.pipeline
def items_that_are_lists():
    with dsl.ParallelFor([[1, 2], [3]]) as one:
        shown(x=one)


@case()
@dsl.pipeline
def loop_in_a_loop():
    with dsl.ParallelFor([1, 2]) as a, dsl.ParallelFor([10, 20]) as b:
        add(a=a, b=b)


@case()
@dsl.pipeline
def nested_loops_collected() -> str:
    with dsl.ParallelFor([1, 2]) as a:
        with dsl.ParallelFor([10, 20]) as b:
            c = add(a=a, b=b)
    return shown(x=dsl.Collected(c.output)).output


@case()
@dsl.pipeline
def two_tasks_in_a_loop() -> List[int]:
    with dsl.ParallelFor([1, 2, 3]) as n:
        a = add(a=n)
        b = add(a=a.output, b=100)
    return dsl.Collected(b.output)


@case()
@dsl.pipeline
def condition_in_a_loop():
    with dsl.ParallelFor([1, 2, 3]) as n:
        a = number(n=n)
        with dsl.If(a.output >= 2):
            text(x="big")


@case({"n": 1})
@dsl.pipeline
def loop_in_a_condition(n: int):
    with dsl.If(n == 1):
        with dsl.ParallelFor([1, 2]) as x:
            number(n=x)
    with dsl.Else():
        text(x="none")


@case()
@dsl.pipeline
def values_of_outside_in_a_loop() -> List[int]:
    base = number(n=100)
    with dsl.ParallelFor([1, 2]) as n:
        a = add(a=n, b=base.output)
    return dsl.Collected(a.output)


@case()
@dsl.pipeline
def a_task_after_a_loop() -> str:
    with dsl.ParallelFor([1, 2]) as n:
        a = add(a=n)
    return text(x="after").after(a).output


@case()
@dsl.pipeline
def artifacts_of_a_loop() -> str:
    with dsl.ParallelFor(["a", "b", "c"]) as x:
        w = write(content=x)
    return read_all(data=dsl.Collected(w.outputs["out"])).output


@case()
@dsl.pipeline
def artifacts_of_a_loop_read_in_it() -> List[str]:
    with dsl.ParallelFor(["a", "b"]) as x:
        w = write(content=x)
        r = read(data=w.outputs["out"])
    return dsl.Collected(r.output)


@case()
@dsl.pipeline
def artifacts_of_nested_loops() -> str:
    with dsl.ParallelFor(["a", "b"]) as x:
        with dsl.ParallelFor(["1", "2"]) as y:
            w = write(content=f"{x}{y}")
    return read_all(data=dsl.Collected(w.outputs["out"])).output


@dsl.pipeline
def makes_many(xs: List[str]) -> List[dsl.Dataset]:
    with dsl.ParallelFor(xs) as x:
        w = write(content=x)
    return dsl.Collected(w.outputs["out"])


@case()
@dsl.pipeline
def loop_over_collected_artifacts():
    with dsl.ParallelFor(makes_many(xs=["a", "b"]).output) as one:
        read(data=one)


@case()
@dsl.pipeline
def list_of_artifacts_as_the_output() -> List[dsl.Dataset]:
    with dsl.ParallelFor(["a", "b"]) as x:
        w = write(content=x)
    return dsl.Collected(w.outputs["out"])


@dsl.pipeline
def adds_many() -> List[int]:
    with dsl.ParallelFor([1, 2]) as x:
        a = add(a=x)
    return dsl.Collected(a.output)


@case()
@dsl.pipeline
def loop_over_collected_values():
    with dsl.ParallelFor(adds_many().output) as y:
        number(n=y)


@dsl.pipeline
def squares(n: int) -> int:
    a = add(a=n, b=0)
    return add(a=a.output, b=n).output


@case()
@dsl.pipeline
def nested_pipeline_in_a_loop() -> List[int]:
    with dsl.ParallelFor([1, 2, 3]) as n:
        s = squares(n=n)
    return dsl.Collected(s.output)


@dsl.pipeline
def loops_inside(xs: List[int]) -> List[int]:
    with dsl.ParallelFor(xs) as n:
        a = add(a=n)
    return dsl.Collected(a.output)


@case()
@dsl.pipeline
def loop_in_a_nested_pipeline() -> str:
    return shown(x=loops_inside(xs=[1, 2]).output).output


@case()
@dsl.pipeline
def loop_over_quoted_words() -> List[str]:
    with dsl.ParallelFor(words().output) as w:
        t = text(x=w)
    return dsl.Collected(t.output)


@case()
@dsl.pipeline
def loop_over_a_list_in_a_mapping():
    with dsl.ParallelFor(records().output) as one:
        text(x=one.sub)


@case()
@dsl.pipeline
def branch_collected_outside_its_loop() -> List[int]:
    with dsl.ParallelFor([1, 2, 3]) as n:
        with dsl.If(n != 2):
            number(n=n)
        b = add(a=n)
    return dsl.Collected(b.output)


@case()
@dsl.pipeline
def three_loops_deep():
    with dsl.ParallelFor(["a", "b"]) as x:
        with dsl.ParallelFor(["1", "2"]) as y:
            with dsl.ParallelFor(["X", "Y"]) as z:
                text(x=f"{x}{y}{z}")


@case()
@dsl.pipeline
def mapping_beside_a_loop():
    m = mapping()
    with dsl.ParallelFor([1, 2]) as n:
        add(a=n).after(m)
