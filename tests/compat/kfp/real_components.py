"""Run by the interpreter that has the real kfp: compiles the forms, runs them under ``kfp.local``, prints the answers.

``real_components.py FOLDER [compile]``: pipelines go to FOLDER/<name>.yaml, answers to FOLDER/real.json.
"""

import contextlib
import io
import json
import logging
import os
import re
import sys
from pathlib import Path
from typing import Any

folder = Path(sys.argv[1])
os.environ["FORMS_FOLDER"] = str(folder)
sys.path.insert(0, str(Path(__file__).parent))

import component_forms  # noqa: E402
from kfp import compiler, dsl, local  # noqa: E402


def shown(value: Any) -> Any:
    """An output as it is compared: a parameter's value, or an artifact's type, metadata and content."""
    if isinstance(value, list) and value and isinstance(value[0], dsl.Artifact):
        return [shown(one) for one in value]
    if not isinstance(value, dsl.Artifact):
        return value
    path = Path(value.path)
    content: Any = None
    if path.is_dir():
        content = sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())
    elif path.is_file():
        content = path.read_text()
    return {"type": value.schema_title, "metadata": value.metadata, "content": content}


def main() -> None:
    """Compile and run all forms."""
    answers = {}
    for name, (given, arguments) in component_forms.FORMS.items():
        compiler.Compiler().compile(given, str(folder / f"{name}.yaml"))
    if sys.argv[2:] == ["compile"]:
        return
    local.init(local.SubprocessRunner(use_venv=False), pipeline_root=str(folder / "outputs"))
    for name, (given, arguments) in component_forms.FORMS.items():
        said = io.StringIO()
        logging.getLogger().handlers[:] = [logging.StreamHandler(said)]
        outputs: dict[str, Any] = {}
        state = "SUCCEEDED"
        with contextlib.redirect_stdout(said):
            try:
                outputs = {key: shown(value) for key, value in given(**arguments).outputs.items()}
            except Exception as error:
                state = "FAILED"
                said.write(f"\n{error}")
        lines = re.findall(r"say:.*", re.sub(r"\x1b\[[0-9;]*m", "", said.getvalue()))
        answers[name] = {"state": state, "outputs": outputs, "said": lines, "arguments": arguments}
    (folder / "real.json").write_text(json.dumps(answers, indent=1, sort_keys=True))


main()
