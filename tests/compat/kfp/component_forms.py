"""Forms of components, each a component or a pipeline of some. The real kfp compiles and runs them.

``FORMS`` has for each name what is run and its arguments. Lines that begin with ``say:`` are compared.
"""

# ruff: noqa: UP006, UP035, UP045, F821 - written as users write components

import json
import os
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional

from kfp import dsl
from kfp.dsl import (
    HTML,
    Artifact,
    ClassificationMetrics,
    Dataset,
    Input,
    InputPath,
    Markdown,
    Metrics,
    Model,
    Output,
    OutputPath,
)

HERE = Path(os.environ["FORMS_FOLDER"])
(HERE / "assets").mkdir(parents=True, exist_ok=True)
(HERE / "assets" / "helper_of_form.py").write_text("VALUE = 41\n\n\ndef more(n):\n    return VALUE + n\n")
(HERE / "assets" / "words.txt").write_text("one two three\n")
(HERE / "rows.csv").write_text("a,b\n1,2\n")

FORMS: dict[str, tuple[Any, dict[str, Any]]] = {}


def component(function: Any = None, **options: Any) -> Any:
    """A component that installs nothing."""
    options = {"base_image": "python:3.11", "install_kfp_package": False, **options}
    return dsl.component(function, **options) if function is not None else lambda f: dsl.component(f, **options)


def form(given: Any, **arguments: Any) -> Any:
    """Note a form by the name of its function."""
    FORMS[given.name.replace("-", "_")] = (given, arguments)
    return given


# --- parameters -------------------------------------------------------------------------------------------------


@component
def text_to_text(x: str) -> str:
    print(f"say:{x}")
    return x + "!"


form(text_to_text, x="hello")


@component
def whole_number(x: int) -> int:
    print(f"say:{x!r} {type(x).__name__}")
    return x + 1


form(whole_number, x=41)


@component
def fraction(x: float) -> float:
    print(f"say:{x!r}")
    return x / 2


form(fraction, x=2.5)


@component
def fraction_that_is_whole(x: float) -> float:
    return x * 2


form(fraction_that_is_whole, x=1.0)


@component
def truth(x: bool) -> bool:
    print(f"say:{x!r}")
    return not x


form(truth, x=True)


@component
def plain_list(x: list) -> list:
    print(f"say:{x!r}")
    return [*x, "more"]


form(plain_list, x=["a", "b"])


@component
def plain_dict(x: dict) -> dict:
    print(f"say:{sorted(x)}")
    return {**x, "more": [1.5, None, True]}


form(plain_dict, x={"a": "b"})


@component
def typed_list(x: List[str]) -> List[str]:
    return sorted(x)


form(typed_list, x=["b", "a"])


@component
def typed_dict(x: Dict[str, str]) -> Dict[str, str]:
    return {value: key for key, value in x.items()}


form(typed_dict, x={"k": "v"})


@component
def builtin_generics(x: list[str], y: dict[str, list[str]]) -> dict[str, list[str]]:
    return {**y, "x": x}


form(builtin_generics, x=["1"], y={"a": ["2"]})


@component
def nothing_given(x: Optional[str] = None, y: Optional[int] = None) -> str:
    print(f"say:{x!r} {y!r}")
    return "none" if x is None else x


form(nothing_given)


@component
def defaults(a: int = 3, b: str = "b", c: float = 0.5, d: bool = True, e: list = ["x"], f: dict = {"k": "v"}) -> str:
    return f"{a!r} {b!r} {c!r} {d!r} {e!r} {f!r}"


form(defaults)


@component
def falsy(a: int, b: str, c: float, d: bool, e: list, f: dict) -> str:
    return f"{a!r} {b!r} {c!r} {d!r} {e!r} {f!r}"


form(falsy, a=0, b="", c=0.0, d=False, e=[], f={})


@component
def difficult_text(x: str) -> str:
    print("say:" + x.replace("\n", "|"))
    return x


form(difficult_text, x="'\"\\ $HOME `id` \u00e4\u20ac\n\ttab {braces} {{other}} %s \u2028 end")


@component
def long_text(x: str) -> int:
    return len(x)


form(long_text, x="0123456789" * 6_000)


@component
def deep(x: dict) -> dict:
    print(f"say:{x['a'][0]['b'][1]}")
    return {"deep": x}


form(deep, x={"a": [{"b": ["c", "d"]}]})


@component
def keys_become_texts() -> dict:
    return {1: "one", None: "none", 2.5: "half"}


form(keys_become_texts)


@component
def tuples_become_lists() -> dict:
    return {"pair": (1, 2)}


form(tuples_become_lists)


@component
def truth_as_number() -> int:
    return True


form(truth_as_number)


@component
def several(x: int) -> NamedTuple("Several", [("double", int), ("text", str), ("items", list)]):
    from collections import namedtuple

    made = namedtuple("Several", ["double", "text", "items"])
    return made(2 * x, str(x), [x])


form(several, x=4)


@component
def several_as_tuple(x: int) -> NamedTuple("Several", [("first", int), ("second", str)]):
    return (x, "s")


form(several_as_tuple, x=4)


@component
def several_one_wrong() -> NamedTuple("Several", [("first", int), ("second", str)]):
    return (1, 2)


form(several_one_wrong)


@component
def several_too_few() -> NamedTuple("Several", [("first", int), ("second", str)]):
    return (1,)


form(several_too_few)


@component
def no_output(x: int):
    print(f"say:{x}")


form(no_output, x=1)


@component
def path_of_text(out: OutputPath(str)):
    with open(out, "w") as file:
        file.write("  with blanks \n")


form(path_of_text)


@component
def path_of_numbers(a: OutputPath(int), b: OutputPath(float), c: OutputPath(bool)):
    for path, text in ((a, "12"), (b, "0.25"), (c, "True")):
        with open(path, "w") as file:
            file.write(text)


form(path_of_numbers)


@component
def path_of_json(a: OutputPath(list), b: OutputPath(dict)):
    import json

    for path, value in ((a, [1.5, "x"]), (b, {"k": [None]})):
        with open(path, "w") as file:
            json.dump(value, file)


form(path_of_json)


@component
def path_and_return(x: int, a: OutputPath(str)) -> int:
    with open(a, "w") as file:
        file.write("a")
    return x


form(path_and_return, x=5)


# --- how components end -----------------------------------------------------------------------------------------


@component
def raises() -> str:
    raise ValueError("not today")


form(raises)


@component
def exits_well():
    import sys

    print("say:before")
    sys.exit(0)


form(exits_well)


@component
def exits_badly():
    import sys

    sys.exit(3)


form(exits_badly)


@component
def leaves_at_once():
    import os

    os._exit(4)


form(leaves_at_once)


@component
def wrong_type() -> int:
    return "seven"


form(wrong_type)


@component
def wrong_list() -> list:
    return (1, 2)


form(wrong_list)


@component
def not_json() -> dict:
    return {"x": {1, 2}}


form(not_json)


@component
def argument_without_value(x: Optional[str]) -> str:
    return f"{x}"


# --- what is around a component ---------------------------------------------------------------------------------


@component
def says_and_logs():
    import logging
    import sys

    print("say:out")
    print("say:err", file=sys.stderr)
    logging.info("say:info %d", 3)
    logging.getLogger("mine").warning("say:warning")
    logging.debug("say:debug")


form(says_and_logs)


@component
def runs_a_program() -> str:
    import subprocess
    import sys

    subprocess.run(["sh", "-c", "echo say:child"], check=True)
    done = subprocess.run([sys.executable, "-c", "print(6 * 7)"], stdout=subprocess.PIPE, check=True, text=True)
    return done.stdout.strip()


form(runs_a_program)


@component
def runs_a_pool() -> list:
    from concurrent.futures import ThreadPoolExecutor
    from multiprocessing import get_context

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda n: n * n, range(3)))
    with get_context("fork").Pool(1) as processes:
        return [str(one) for one in [*found, *processes.map(len, ["ab", "c"])]]


form(runs_a_pool)


def _helped(x: int) -> int:
    return 3 * x


def _helped_twice(x: int) -> int:
    return _helped(_helped(x))


@component(additional_funcs=[_helped])
def runs_a_spawned_pool(x: int) -> list:
    from multiprocessing import get_context

    with get_context("spawn").Pool(1) as processes:
        return [str(one) for one in processes.map(_helped, [x, x + 1])]


form(runs_a_spawned_pool, x=2)


@component(additional_funcs=[_helped, _helped_twice])
def with_helpers(x: int) -> int:
    return _helped_twice(x)


form(with_helpers, x=2)


@component(embedded_artifact_path=str(HERE / "assets"))
def embedded_folder(x: int, assets: dsl.EmbeddedInput[Dataset]) -> str:
    import os

    import helper_of_form

    names = sorted(one for one in os.listdir(assets.path) if one[0] != "_")
    return f"{helper_of_form.more(x)} {names} {type(assets).__name__}"


form(embedded_folder, x=1)


@component(embedded_artifact_path=str(HERE / "assets" / "words.txt"))
def embedded_file(words: dsl.EmbeddedInput[Artifact]) -> str:
    with open(words.path) as file:
        return file.read()


form(embedded_file)


@component
def reads_variables() -> str:
    import os

    return os.environ["FORM_A"] + os.environ.get("FORM_B", "-") + os.environ["_KFP_RUNTIME"]


@dsl.pipeline
def variables() -> str:
    task = reads_variables()
    task.set_env_variable("FORM_A", "a b'c")
    return task.output


form(variables)


@component
def uses_dsl_names() -> str:
    made = dsl.Model(name="m", uri="/x/y", metadata={"k": 1})
    made.framework = "f"
    titles = [one.schema_title for one in (Artifact, Dataset, Model, Metrics, HTML, Markdown)]
    remote = [dsl.Artifact(uri=uri).path for uri in ("gs://b/k", "s3://b/k", "minio://b/k", "oci://r/i", "file:///x")]
    return f"{made.path} {made.metadata} {titles} {remote} {isinstance(made, Artifact)} {dsl.PIPELINE_ROOT_PLACEHOLDER}"


form(uses_dsl_names)


@component
def names_in_source() -> str:
    return f"{List[int]} {Optional[str]} {kfp.__name__} {Any is not None} {__name__} {__file__.rpartition('/')[2]}"


form(names_in_source)


# --- artifacts --------------------------------------------------------------------------------------------------


@component
def makes_file(text: str, out: Output[Dataset]):
    with open(out.path, "w") as file:
        file.write(text)
    out.metadata["rows"] = 2
    out.metadata["nested"] = {"a": [1, 2.5, "x"], "b": None}


@component
def reads_file(data: Input[Dataset]) -> str:
    print(f"say:{data.name} {type(data).__name__} {data.schema_title}")
    with open(data.path) as file:
        nested = data.metadata["nested"]
        return f"{file.read()} {int(data.metadata['rows'])} {nested['a'][1:]} {sorted(nested)}"


@component
def reads_any(data: Input[Artifact]) -> str:
    return f"{type(data).__name__} {int(data.metadata.get('rows'))}"


@component
def reads_path(data: InputPath("Dataset")) -> str:
    with open(data) as file:
        return file.read()


form(makes_file, text="content")


@dsl.pipeline
def file_passed_on() -> str:
    return reads_file(data=makes_file(text="content").outputs["out"]).output


form(file_passed_on)


@dsl.pipeline
def file_as_any() -> str:
    return reads_any(data=makes_file(text="content").outputs["out"]).output


form(file_as_any)


@dsl.pipeline
def file_by_path() -> str:
    return reads_path(data=makes_file(text="content").outputs["out"]).output


form(file_by_path)


@component
def makes_folder(out: Output[Model]):
    import os

    os.makedirs(os.path.join(out.path, "sub"))
    for name in ("a.txt", "sub/b.txt"):
        with open(os.path.join(out.path, name), "w") as file:
            file.write(name)
    out.framework = "sklearn"


@component
def reads_folder(model: Input[Model]) -> list:
    import os

    print(f"say:{model.framework}")
    return sorted(
        os.path.relpath(os.path.join(parent, name), model.path)
        for parent, _, names in os.walk(model.path)
        for name in names
    )


@dsl.pipeline
def folder_passed_on() -> list:
    return reads_folder(model=makes_folder().outputs["out"]).output


form(makes_folder)
form(folder_passed_on)


@component
def path_of_artifact(out: OutputPath("Dataset"), other: OutputPath(Model), unknown: OutputPath("Thing")):
    for path in (out, other, unknown):
        with open(path, "w") as file:
            file.write("x")


form(path_of_artifact)


@component
def metadata_alone(out: Output[Artifact]):
    out.metadata["only"] = "this"


@component
def sees_metadata(given: Input[Artifact]) -> str:
    import os

    return f"{given.metadata} {os.path.exists(given.path)}"


@dsl.pipeline
def metadata_passed_on() -> str:
    return sees_metadata(given=metadata_alone().outputs["out"]).output


form(metadata_alone)
form(metadata_passed_on)


@component
def metrics(out: Output[Metrics]):
    out.log_metric("accuracy", 0.75)
    out.log_metric("count", 3)
    out.metadata["label"] = "text"


form(metrics)


@component
def roc_curve(out: Output[ClassificationMetrics]):
    out.log_roc_curve([0.0, 0.5, 1.0], [0.0, 0.75, 1.0], [1.0, 0.5, 0.0])
    out.log_roc_data_point(fpr=1.0, tpr=1.0, threshold=-1.0)


form(roc_curve)


@component
def roc_curve_of_wrong_length(out: Output[ClassificationMetrics]):
    out.log_roc_curve([0.0], [0.0, 0.75], [1.0])


form(roc_curve_of_wrong_length)


@component
def confusion_matrix(out: Output[ClassificationMetrics]):
    out.log_confusion_matrix(["cat", "dog"], [[9, 1], [2, 8]])
    out.log_confusion_matrix_cell("cat", "dog", 5)
    out.log_confusion_matrix_row("dog", [0, 10])


form(confusion_matrix)


@component
def confusion_matrix_of_unknown(out: Output[ClassificationMetrics]):
    out.set_confusion_matrix_categories(["cat", "dog"])
    out.log_confusion_matrix_row("fish", [0, 10])


form(confusion_matrix_of_unknown)


@component
def pages(html: Output[HTML], markdown: Output[Markdown]):
    for one, text in ((html, "<b>x</b>"), (markdown, "# x")):
        with open(one.path, "w") as file:
            file.write(text)


form(pages)


@component
def pythonic() -> Dataset:
    made = Dataset(uri=dsl.get_uri(), metadata={"rows": 1})
    with open(made.path, "w") as file:
        file.write("pythonic")
    return made


form(pythonic)


@component
def pythonic_with_suffix() -> Model:
    made = Model(uri=dsl.get_uri("other"), metadata={"framework": "x"})
    with open(made.path, "w") as file:
        file.write("other")
    return made


@dsl.pipeline
def pythonic_passed_on() -> str:
    return reads_any(data=pythonic().output).output


form(pythonic_with_suffix)
form(pythonic_passed_on)


@component
def returns_data() -> Dataset:
    return "the text itself"


form(returns_data)


@component
def several_with_artifact() -> NamedTuple("Several", [("data", Dataset), ("count", int)]):
    made = Dataset(uri=dsl.get_uri("data"))
    with open(made.path, "w") as file:
        file.write("d")
    return (made, 1)


form(several_with_artifact)


@component
def optional_artifact(data: Optional[Input[Artifact]] = None) -> str:
    return f"{data is None}"


@dsl.pipeline
def optional_artifact_absent() -> str:
    return optional_artifact().output


form(optional_artifact_absent)


@component
def joins(items: Input[List[Dataset]]) -> str:
    found = []
    for one in items:
        with open(one.path) as file:
            found.append(f"{file.read()}{int(one.metadata['rows'])}{type(one).__name__}")
    return " ".join(sorted(found))


@dsl.pipeline
def list_of_artifacts() -> str:
    with dsl.ParallelFor(["a", "b", "c"]) as item:
        made = makes_file(text=item)
    return joins(items=dsl.Collected(made.outputs["out"])).output


form(list_of_artifacts)


@component
def inspects(given: Input[Dataset]) -> str:
    with open(given.path) as file:
        metadata = sorted(given.metadata.items(), key=str)
        return f"{file.read()}|{metadata}|{type(given).__name__}|{given.uri == given.path}"


@dsl.pipeline
def imported_file(uri: str, name: str = "n") -> str:
    made = dsl.importer(artifact_uri=uri, artifact_class=Dataset, metadata={"a": name, "list": ["x", {"y": name}]})
    return inspects(given=made.output).output


form(imported_file, uri="<rows>", name="n")


@component
def sees_uri(given: Input[Model]) -> str:
    return f"{given.uri} {given.metadata}"


@dsl.pipeline
def imported_uri(uri: str) -> str:
    return sees_uri(given=dsl.importer(artifact_uri=uri, artifact_class=Model).output).output


form(imported_uri, uri="https://example.com/model")


@component
def custom_uri(out: Output[Model]):
    out.uri = "https://example.com/other"
    out.metadata["k"] = "v"


@dsl.pipeline
def custom_uri_passed_on() -> str:
    return sees_uri(given=custom_uri().outputs["out"]).output


form(custom_uri)
form(custom_uri_passed_on)


@component
def passes_through(given: Input[Dataset], out: Output[Dataset]):
    import shutil

    shutil.copy(given.path, out.path)
    out.metadata.update(given.metadata)


@dsl.pipeline
def chain_of_artifacts() -> str:
    task = makes_file(text="c")
    for _ in range(3):
        task = passes_through(given=task.outputs["out"])
    return reads_file(data=task.outputs["out"]).output


form(chain_of_artifacts)


# --- notebooks --------------------------------------------------------------------------------------------------

_CELL = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
_CELLS = [
    {**_CELL, "id": "a", "source": "depth = 1\nname = 'x'", "metadata": {"tags": ["parameters"]}},
    {**_CELL, "id": "b", "source": "print('say:notebook', depth * 2, name)"},
    {**_CELL, "id": "c", "source": "with open(path, 'w') as file:\n    file.write(f'{depth} {name}')"},
]
_KERNEL = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
(HERE / "notebook.ipynb").write_text(
    json.dumps({"cells": _CELLS, "metadata": _KERNEL, "nbformat": 4, "nbformat_minor": 5})
)


@dsl.notebook_component(
    notebook_path=str(HERE / "notebook.ipynb"),
    base_image="python:3.11",
    install_kfp_package=False,
    packages_to_install=["nbclient", "ipykernel", "jupyter_client"],
)
def notebook(depth: int, name: str, out: Output[Dataset]):
    dsl.run_notebook(depth=depth, name=name, path=out.path)


form(notebook, depth=21, name="it's")


# --- what a component is told -----------------------------------------------------------------------------------


@component
def told(name: str, root: str, uuid: str) -> str:
    return f"{name} {bool(root)} {bool(uuid)}"


@dsl.pipeline
def placeholders() -> str:
    return told(
        name=dsl.PIPELINE_TASK_NAME_PLACEHOLDER,
        root=dsl.PIPELINE_ROOT_PLACEHOLDER,
        uuid=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    ).output


form(placeholders)


@component
def fails():
    raise RuntimeError("as planned")


@component
def at_exit(status: dsl.PipelineTaskFinalStatus):
    print(f"say:{type(status).__name__} {status.state} {status.pipeline_task_name}")


@dsl.pipeline
def exit_task():
    with dsl.ExitHandler(at_exit()):
        no_output(x=2)


form(exit_task)


@dsl.pipeline
def exit_task_after_failure():
    with dsl.ExitHandler(at_exit()):
        fails()


form(exit_task_after_failure)
