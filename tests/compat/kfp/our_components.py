"""Run by the interpreter that has Headrace: runs the compiled forms, one run each, and prints the answers.

``our_components.py FOLDER``: reads FOLDER/<name>.yaml and FOLDER/arguments.json, writes FOLDER/ours.json.
"""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

folder = Path(sys.argv[1])
os.chdir(folder)
os.environ.setdefault("HEADRACE_HOME", str(folder / "home"))

import headrace  # noqa: E402
from headrace.client.default import default_scope  # noqa: E402
from headrace.frontends.kfp.artifacts import from_stored  # noqa: E402
from headrace.frontends.kfp.launch import Launch, run_pipeline  # noqa: E402
from headrace.frontends.kfp.pipeline_file import read_pipeline  # noqa: E402
from headrace.stores.codecs import File, Folder  # noqa: E402


def shown(value: Any) -> Any:
    """An output as it is compared: a parameter's value, or an artifact's type, metadata and content."""
    if isinstance(value, list):
        return [shown(one) for one in value]
    is_artifact = isinstance(value, (File, Folder)) or (isinstance(value, dict) and set(value) == {"kfp"})
    if not is_artifact:
        return value
    one = from_stored(value)
    content: Any = None
    if isinstance(one.content, Folder):
        content = one.content.files()
    elif one.content is not None:
        content = one.content.path.read_text()
    return {"type": one.schema_title, "metadata": one.metadata, "content": content}


def main() -> None:
    """Run all forms."""
    answers = {}
    only = set(sys.argv[2:])
    for name, arguments in json.loads((folder / "arguments.json").read_text()).items():
        if only and name not in only:
            continue
        began = time.perf_counter()
        scope = default_scope()
        pipeline = read_pipeline(folder / f"{name}.yaml")
        ended = run_pipeline(pipeline, arguments, Launch(scope=scope, entry=f"{folder}/{name}.yaml:{name}"))
        outputs = {key: shown(value) for key, value in (ended.value or {}).items()}
        text = str(headrace.Run(ended.run.name).logs)
        state = "FAILED" if ended.error is not None else "SUCCEEDED"
        answers[name] = {
            "state": state,
            "outputs": outputs,
            "said": re.findall("say:.*", text),
            "error": str(ended.error or ""),
        }
        answers[name]["seconds"] = time.perf_counter() - began
    (folder / "ours.json").write_text(json.dumps(answers, indent=1, sort_keys=True))


main()
