"""Run by the Python that has the real kfp: compiles the forms of components, and asks ``kfp.local`` what they give.

``python record_components.py`` writes ``components/<name>.yaml`` and ``recorded_components.json`` beside this file;
``python record_components.py FOLDER`` only compiles, to that folder.
"""

import contextlib
import io
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def shown(value: Any) -> Any:
    """An output as it is compared: a parameter's value, or an artifact's type, metadata and content."""
    if isinstance(value, list) and value and hasattr(value[0], "uri"):
        return [shown(one) for one in value]
    if not hasattr(value, "uri"):
        return value
    path = Path(value.path)
    content: Any = None
    if path.is_dir():
        content = sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())
    elif path.is_file():
        content = path.read_text()
    return {"type": value.schema_title, "metadata": value.metadata, "content": content}


def ask(given: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """What kfp.local gives for a form."""
    said = io.StringIO()
    logging.getLogger().handlers[:] = [logging.StreamHandler(said)]
    outputs: dict[str, Any] = {}
    state = "succeeded"
    with contextlib.redirect_stdout(said):
        try:
            outputs = {key: shown(value) for key, value in given(**arguments).outputs.items()}
        except Exception as error:
            state = "failed"
            sys.stderr.write(f"  {type(error).__name__}: {str(error)[:200]}\n")
    lines = sorted(re.findall(r"say:.*", _ANSI.sub("", said.getvalue())))
    return {"state": state, "outputs": outputs, "lines": lines}


def main(target: str = "") -> None:
    """Compile and record all forms, or compile them to ``target``."""
    warnings.simplefilter("ignore")
    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FORMS_FOLDER"] = folder
        sys.path.insert(0, str(HERE))
        import component_forms
        from kfp import compiler, local

        to = Path(target) if target else HERE / "components"
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir()
        for name, (given, _) in component_forms.FORMS.items():
            compiler.Compiler().compile(given, str(to / f"{name}.yaml"))
        if target:
            return
        local.init(local.SubprocessRunner(use_venv=False), pipeline_root=f"{folder}/outputs")
        answers = {}
        for name, (given, arguments) in component_forms.FORMS.items():
            real = {key: f"{folder}/rows.csv" if one == "<rows>" else one for key, one in arguments.items()}
            answers[name] = {**ask(given, real), "arguments": arguments}
            print(name, answers[name]["state"], flush=True)
    text = json.dumps(answers, indent=1, sort_keys=True, ensure_ascii=False)
    (HERE / "recorded_components.json").write_text(f"{text}\n")


main(*sys.argv[1:])
