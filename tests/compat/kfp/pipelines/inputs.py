"""Optional inputs, defaults, f-strings, placeholders, whole numbers, caching, resources."""

from typing import Dict, List, Optional

from kfp import dsl

from .parts import add, case, mapping, number, shown, shown_dict, text


@dsl.component
def optional(x: Optional[str] = None, n: Optional[int] = 5) -> str:
    print(f"» optional {x!r} {n!r}")
    return f"{x!r} {n!r}"


@case()
@dsl.pipeline
def optional_inputs_left_out() -> str:
    return optional().output


@case()
@dsl.pipeline
def optional_inputs_given() -> str:
    return optional(x="x", n=1).output


@case()
@dsl.pipeline
def optional_input_of_a_pipeline(x: Optional[str] = None) -> str:
    return optional(x=x).output


@case({"x": "given"})
@dsl.pipeline
def optional_input_of_a_pipeline_given(x: Optional[str] = None) -> str:
    return optional(x=x).output


@dsl.pipeline
def takes_optional(y: Optional[str] = None, z: str = "zz") -> str:
    return text(x=f"{optional(x=y).output} {z}").output


@case()
@dsl.pipeline
def optional_input_of_a_nested_pipeline() -> str:
    return takes_optional().output


@case()
@dsl.pipeline
def f_string_of_two_outputs() -> str:
    a = number(n=3)
    b = text(x="b")
    return text(x=f"<{a.output}> and <{b.output}>").output


@case({"x": "{{$.inputs.parameters['y']}}"})
@dsl.pipeline
def a_value_that_looks_like_a_placeholder(x: str) -> str:
    return text(x=f"got {x}").output


@case()
@dsl.pipeline
def braces_and_dollars_stay() -> str:
    return text(x="{braces} {{double}} ${HOME} %s \\n").output


@case()
@dsl.pipeline
def whole_numbers_in_constants() -> str:
    shown_dict(x={"a": 1, "b": [1, 2, 0.5], "c": {"d": 3}})
    return shown(x=[1, 2.5, [3, {"k": 4}]]).output


@case()
@dsl.pipeline
def whole_numbers_in_defaults(xs: list = [1, 2], d: Dict[str, int] = {"a": 1}) -> str:  # noqa: B006
    shown_dict(x=d)
    return shown(x=xs).output


@case()
@dsl.pipeline
def outputs_in_lists_and_mappings() -> str:
    a = number(n=1)
    shown_dict(x={"a": f"{a.output}", "b": 2})
    return shown(x=[f"{a.output}", "x"]).output


@dsl.component
def knows_itself(job: str, task: str, uuid: str, pipeline: str) -> str:
    print(f"» task {task} {len(uuid)} {job.startswith('placeholders') or job.startswith('l')}")
    return task


@case()
@dsl.pipeline
def placeholders_of_the_run() -> str:
    return knows_itself(
        job=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        task=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
        uuid=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
        pipeline=dsl.PIPELINE_ROOT_PLACEHOLDER,
    ).output


@dsl.component
def about_numbers(a: int, b: float, c: list) -> str:
    print(f"» {type(a).__name__} {float(b)} {c!r}")
    return f"{a} {float(b)}"


@case({"a": 3, "b": 3.0, "c": [3, 3.5]})
@dsl.pipeline
def numbers_of_both_types(a: int, b: float, c: list) -> str:
    return about_numbers(a=a, b=b, c=c).output


@case({"a": 9007199254740993})
@dsl.pipeline
def defaults_of_components(a: int = 1) -> int:
    return add(a=2).output


@case()
@dsl.pipeline
def not_cached() -> int:
    return number(n=1).set_caching_options(False).output


@case()
@dsl.pipeline
def cached_with_a_key() -> int:
    return number(n=1).set_caching_options(True, cache_key="k").output


@case()
@dsl.pipeline
def resources_are_asked_for() -> int:
    return number(n=1).set_cpu_limit("500m").set_memory_request("64Mi").set_memory_limit("1G").output


@case()
@dsl.pipeline
def accelerators_are_asked_for() -> int:
    return number(n=1).set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(1).output


@case({"cpu": "1", "memory": "100Mi", "gpus": "1"})
@dsl.pipeline
def resources_from_parameters(cpu: str, memory: str, gpus: str) -> int:
    task = number(n=1).set_cpu_limit(cpu).set_memory_limit(memory)
    return task.set_accelerator_type("nvidia.com/gpu").set_accelerator_limit(gpus).output


@dsl.component
def variable(name: str) -> str:
    import os

    print(f"» {name}={os.environ.get(name)}")
    return os.environ.get(name, "")


@case()
@dsl.pipeline
def environment_variables() -> str:
    other = variable(name="SUITE_X")
    return variable(name="SUITE_X").set_env_variable("SUITE_X", "a 'b' $c").after(other).output


@dsl.component
def several(n: int) -> list:
    return [n, [n, n + 0.5], {"k": n}]


@case()
@dsl.pipeline
def whole_numbers_in_outputs() -> str:
    return shown(x=several(n=2).output).output


@case()
@dsl.pipeline
def text_of_a_mapping_and_a_number() -> str:
    m = mapping()
    n = number(n=4)
    return text(x=f"{m.output} {n.output}").output


@case({"xs": ["a", "b"]})
@dsl.pipeline
def list_of_texts(xs: List[str]) -> str:
    return shown(x=xs).output
