"""Exit handlers, failures, trigger strategies, retries."""

from typing import List

from kfp import dsl

from .parts import add, always, broken, case, number, numbers, state, text


@case()
@dsl.pipeline
def exit_task_after_success():
    done = always()
    with dsl.ExitHandler(done):
        text(x="inside")


@case()
@dsl.pipeline
def exit_task_after_failure():
    done = always()
    with dsl.ExitHandler(done):
        broken(message="on purpose")


@case()
@dsl.pipeline
def exit_task_hears_of_success():
    done = state()
    with dsl.ExitHandler(done, name="body"):
        text(x="inside")


@case()
@dsl.pipeline
def exit_task_hears_of_failure():
    done = state()
    with dsl.ExitHandler(done):
        text(x="before")
        broken(message="on purpose")


@case({"who": "me"})
@dsl.pipeline
def exit_task_with_an_argument(who: str):
    done = always(x=f"bye {who}")
    with dsl.ExitHandler(done):
        text(x="inside")


@case()
@dsl.pipeline
def failure_skips_what_depends_on_it():
    a = broken(message="first")
    b = text(x=a.output)
    text(x=b.output)


@case()
@dsl.pipeline
def task_that_ignores_a_failure():
    a = broken(message="first")
    always(x="anyway").after(a).ignore_upstream_failure()


@case()
@dsl.pipeline
def default_in_place_of_a_failed_output():
    a = broken(message="first")
    always(x=a.output).ignore_upstream_failure()


@case()
@dsl.pipeline
def loop_in_an_exit_handler():
    done = state()
    with dsl.ExitHandler(done):
        with dsl.ParallelFor([1, 2]) as n:
            number(n=n)


@case()
@dsl.pipeline
def failing_iteration_in_an_exit_handler():
    done = state()
    with dsl.ExitHandler(done):
        with dsl.ParallelFor(["only"]) as x:
            broken(message=x)


@case()
@dsl.pipeline
def condition_in_an_exit_handler():
    done = always()
    with dsl.ExitHandler(done):
        a = number(n=1)
        with dsl.If(a.output == 2):
            text(x="never")


@case()
@dsl.pipeline
def two_exit_handlers():
    first = always(x="first")
    with dsl.ExitHandler(first):
        a = text(x="one")
    second = always(x="second")
    with dsl.ExitHandler(second):
        text(x="two")


@dsl.pipeline
def cleaning(x: str = "default"):
    a = text(x=x)
    text(x=a.output)


@dsl.pipeline
def failing_inside() -> str:
    text(x="before")
    return broken(message="inside").output


@case()
@dsl.pipeline
def failure_in_a_nested_pipeline():
    a = failing_inside()
    text(x=a.output)


@case()
@dsl.pipeline
def failure_beside_a_nested_success() -> int:
    a = number(n=1)
    broken(message="beside").after(a)
    return a.output


@dsl.component
def succeeds_later(path: str) -> int:
    import os

    tries = int(open(path).read()) if os.path.exists(path) else 0
    with open(path, "w") as file:
        file.write(str(tries + 1))
    print(f"» try {tries}")
    if tries < 2:
        raise RuntimeError("not yet")
    return tries


@case({"path": "<file>"})
@dsl.pipeline
def retried_until_it_succeeds(path: str) -> int:
    return succeeds_later(path=path).set_retry(3, backoff_duration="0s").set_caching_options(False).output


@case({"path": "<file>"})
@dsl.pipeline
def retried_in_vain(path: str) -> int:
    return succeeds_later(path=path).set_retry(1, backoff_duration="0s").set_caching_options(False).output


@case()
@dsl.pipeline
def output_of_an_exit_handler_used_outside() -> int:
    done = always()
    with dsl.ExitHandler(done):
        n = numbers(n=3)
        a = add(a=1)
        text(x="x").after(n)
    return add(a=5).after(a).output if False else add(a=5).output


@case()
@dsl.pipeline
def exit_handler_around_two_loops():
    done = state()
    with dsl.ExitHandler(done):
        with dsl.ParallelFor(["a", "b"]) as x:
            with dsl.ParallelFor(["1"]) as y:
                text(x=f"{x}{y}")
