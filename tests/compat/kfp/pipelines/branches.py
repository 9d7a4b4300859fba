"""Conditions: If, Elif, Else, OneOf, over values of all types."""

from kfp import dsl

from .parts import add, case, double, flag, number, read, text, write


@case()
@dsl.pipeline
def true_condition() -> int:
    a = number(n=3)
    with dsl.If(a.output == 3):
        text(x="three")
    return a.output


@case()
@dsl.pipeline
def false_condition() -> int:
    a = number(n=3)
    with dsl.If(a.output == 4):
        text(x="never")
    return a.output


@case({"n": 5})
@dsl.pipeline
def all_comparisons(n: int):
    with dsl.If(n == 5):
        text(x="==")
    with dsl.If(n != 5):
        text(x="!=")
    with dsl.If(n > 4):
        text(x=">")
    with dsl.If(n < 5):
        text(x="<")
    with dsl.If(n >= 5):
        text(x=">=")
    with dsl.If(n <= 4):
        text(x="<=")


@case({"x": "b"})
@dsl.pipeline
def elif_chain(x: str):
    with dsl.If(x == "a"):
        text(x="is a")
    with dsl.Elif(x == "b"):
        text(x="is b")
    with dsl.Elif(x != "c"):
        text(x="is not c")
    with dsl.Else():
        text(x="else")


@case({"x": "c"})
@dsl.pipeline
def else_of_a_chain(x: str):
    with dsl.If(x == "a"):
        text(x="is a")
    with dsl.Elif(x == "b"):
        text(x="is b")
    with dsl.Else():
        text(x="else")


@case({"n": 1})
@dsl.pipeline
def one_of_parameters(n: int) -> str:
    with dsl.If(n == 1):
        a = text(x="one")
    with dsl.Else():
        b = text(x="other")
    return dsl.OneOf(a.output, b.output)


@case({"n": 2})
@dsl.pipeline
def one_of_three(n: int) -> str:
    with dsl.If(n == 1):
        a = text(x="one")
    with dsl.Elif(n == 2):
        b = text(x="two")
    with dsl.Else():
        c = text(x="many")
    chosen = dsl.OneOf(a.output, b.output, c.output)
    return text(x=chosen).output


@case({"n": 2})
@dsl.pipeline
def one_of_artifacts(n: int) -> str:
    with dsl.If(n == 1):
        a = write(content="one")
    with dsl.Else():
        b = write(content="other")
    return read(data=dsl.OneOf(a.outputs["out"], b.outputs["out"])).output


@case({"n": 7})
@dsl.pipeline
def condition_in_a_condition(n: int) -> int:
    with dsl.If(n > 5):
        a = add(a=n)
        with dsl.If(a.output == 17):
            text(x="seventeen")
        with dsl.Else():
            text(x="not seventeen")
    with dsl.Else():
        text(x="small")
    return add(a=1).output


@case({"x": "' == '' or True or '"})
@dsl.pipeline
def a_value_that_looks_like_code(x: str):
    with dsl.If(x == "safe"):
        text(x="injected")
    with dsl.Else():
        text(x="not injected")


@case({"x": "it's"})
@dsl.pipeline
def a_value_with_a_quote(x: str):
    y = text(x=x)
    with dsl.If(x == y.output):
        text(x="equal")


@case({"b": True})
@dsl.pipeline
def condition_on_a_boolean(b: bool):
    with dsl.If(b == True):  # noqa: E712 - a channel
        text(x="true")
    with dsl.If(b == False):  # noqa: E712
        text(x="false")


@case()
@dsl.pipeline
def condition_on_a_boolean_output():
    f = flag(x=False)
    with dsl.If(f.output == False):  # noqa: E712
        text(x="it is false")


@case({"x": 0.5})
@dsl.pipeline
def condition_on_a_float(x: float):
    d = double(x=x)
    with dsl.If(d.output > 0.9):
        text(x="big")
    with dsl.If(d.output < 0.9):
        text(x="small")
    with dsl.If(d.output == 1.0):
        text(x="one")


@case({"a": 3, "b": 3})
@dsl.pipeline
def condition_of_two_values(a: int, b: int):
    with dsl.If(a == b):
        text(x="same")
    with dsl.Else():
        text(x="others")


@case({"n": 3})
@dsl.pipeline
def old_spelling_of_a_condition(n: int):
    with dsl.Condition(n == 3, name="three"):
        text(x="yes")


@case({"n": 1})
@dsl.pipeline
def a_task_after_a_branch_that_was_skipped(n: int):
    with dsl.If(n == 2, name="skipped"):
        a = text(x="never")
        text(x=a.output)
    text(x="beside")


@case({"n": 2})
@dsl.pipeline
def values_of_outside_in_a_branch(n: int) -> int:
    a = number(n=n)
    b = number(n=40)
    with dsl.If(a.output == 2):
        with dsl.If(b.output == 40):
            add(a=a.output, b=b.output)
    return b.output


@dsl.pipeline
def chooses(n: int) -> str:
    with dsl.If(n == 1):
        a = text(x="one")
    with dsl.Else():
        b = text(x="other")
    return dsl.OneOf(a.output, b.output)


@case()
@dsl.pipeline
def a_choice_in_a_nested_pipeline() -> str:
    return text(x=f"chosen: {chooses(n=1).output}, {chooses(n=2).output}").output
