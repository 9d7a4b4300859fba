"""Run by the Python that has kfp: compile a pipeline of a file. ``python compile_script.py FILE NAME OUTPUT``.

Prints one line of JSON: ``pipelines`` are the names of the pipelines in the file, ``compiled`` the one that was
compiled, if it is clear which one is meant.
"""

import importlib.util
import json
import os
import sys


def module_of(component: object) -> str:
    """The name of the module that has the function of a component or pipeline; empty if it has none."""
    function = getattr(component, "pipeline_func", None) or getattr(component, "python_func", None)
    return str(getattr(function, "__module__", ""))


def main(file: str, name: str, output: str) -> None:
    """See the module."""
    sys.path[0] = os.path.dirname(os.path.abspath(file))  # noqa: PTH100, PTH120 - as if the file were run
    spec = importlib.util.spec_from_file_location(os.path.splitext(os.path.basename(file))[0], file)  # noqa: PTH119, PTH122
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    compiler = importlib.import_module("kfp.compiler")
    base_component = importlib.import_module("kfp.dsl.base_component")
    graph_component = importlib.import_module("kfp.dsl.graph_component")

    members = vars(module)
    every = {key: one for key, one in members.items() if isinstance(one, base_component.BaseComponent)}
    # What other pipelines of the file use is part of them, unless it is named.
    # Where there is none, a component is a pipeline of one task.
    pipelines = {key: one for key, one in every.items() if isinstance(one, graph_component.GraphComponent)} or every
    own = {key: one for key, one in pipelines.items() if module_of(one) == spec.name}
    pipelines = own or pipelines
    wanted = name or (next(iter(pipelines)) if len(pipelines) == 1 else "")
    chosen = every.get(wanted) or next((one for one in pipelines.values() if one.name == wanted), None)
    if chosen is not None:
        compiler.Compiler().compile(chosen, output)
    print(json.dumps({"pipelines": list(pipelines), "compiled": wanted if chosen is not None else ""}))


if __name__ == "__main__":
    main(*sys.argv[1:])
