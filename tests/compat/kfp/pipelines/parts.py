"""Components that the pipelines of the suite share, and how a pipeline becomes a case of it.

Imported by the Python that has the real kfp, never by the tests themselves.
"""

from typing import Any, List, Optional

from kfp import dsl

CASES: list[tuple[Any, dict[str, Any]]] = []


def case(arguments: Optional[dict[str, Any]] = None) -> Any:
    """Let a pipeline be a case. An argument ``<file>`` is the path of a file that does not exist yet."""

    def add_case(pipeline: Any) -> Any:
        CASES.append((pipeline, arguments or {}))
        return pipeline

    return add_case


@dsl.component
def number(n: int) -> int:
    print(f"» number {n!r}")
    return n


@dsl.component
def add(a: int, b: int = 10) -> int:
    print(f"» add {a!r} {b!r}")
    return a + b


@dsl.component
def double(x: float) -> float:
    return x * 2


@dsl.component
def text(x: str) -> str:
    print(f"» text {x!r}")
    return x


@dsl.component
def flag(x: bool) -> bool:
    print(f"» flag {x!r}")
    return x


@dsl.component
def numbers(n: int) -> List[int]:
    return list(range(n))


@dsl.component
def words() -> List[str]:
    return ["a", "b b", "c'\"c"]


@dsl.component
def records() -> list:
    return [{"name": "x", "n": 1, "sub": {"k": [1, 2.5]}}, {"name": "y", "n": 2, "sub": {"k": []}}]


@dsl.component
def mapping() -> dict:
    return {"n": 7, "name": "seven", "list": [1, 2, 3], "f": 0.5, "b": True, "none": None}


@dsl.component
def total(xs: List[int]) -> int:
    print(f"» total {xs!r}")
    return sum(xs)


@dsl.component
def shown(x: list) -> str:
    print(f"» shown {x!r}")
    return repr(x)


@dsl.component
def shown_dict(x: dict) -> str:
    print(f"» dict {sorted(x.items())!r}")
    return repr(sorted(x.items()))


@dsl.component
def broken(message: str) -> str:
    print(f"» broken {message}")
    raise ValueError(message)


@dsl.component
def write(content: str, out: dsl.Output[dsl.Dataset]):
    with open(out.path, "w") as file:
        file.write(content)
    out.metadata["length"] = len(content)


@dsl.component
def read(data: dsl.Input[dsl.Dataset]) -> str:
    with open(data.path) as file:
        found = file.read()
    print(f"» read {found!r} {data.metadata.get('length')!r}")
    return found


@dsl.component
def read_all(data: dsl.Input[List[dsl.Dataset]]) -> str:
    found = []
    for one in data:
        with open(one.path) as file:
            found.append(file.read())
    print(f"» read_all {found!r}")
    return "|".join(found)


@dsl.component
def state(status: dsl.PipelineTaskFinalStatus):
    name = status.pipeline_task_name
    print(f"» state {status.state} of {name}: {bool(status.error_message)}")


@dsl.component
def always(x: str = "done"):
    print(f"» always {x}")
