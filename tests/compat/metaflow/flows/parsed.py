"""Configs read by the parsers that come with Metaflow."""

import json
import os

from metaflow import (
    Config,
    FlowSpec,
    conda_environment_yml_parser,
    pyproject_toml_parser,
    requirements_txt_parser,
    step,
    yaml_parser,
)

TEXTS = {
    "requirements": [
        "# nothing\n\nnumpy==1.26.0\npandas >= 2.0, <3\nrequests\nscikit-learn==1.5.*  # why\n",
        "python==3.11.5\nnumpy==1\n",
        "foo[extra]==1.0\n",
        "foo[extra]>=1.0; python_version < '3.9'\n",
        "foo ; sys_platform == 'linux'\n",
        "-r other.txt\n",
        "--index-url https://example.org\nfoo\n",
        "-e .\n",
        "git+https://example.org/x.git\n",
        "foo @ https://example.org/foo.whl\n",
        "foo~=1.4\nbar!=2\nbaz===3\n",
        "",
    ],
    "pyproject": [
        '[project]\nname = "a"\nrequires-python = ">=3.9"\ndependencies = ["numpy==1.26.0", "requests"]\n',
        '[project]\nname = "a"\nrequires-python = "==3.11.*"\n',
        '[project]\ndependencies = ["foo[extra]>=1"]\n',
        '[project]\ndependencies = ["foo @ https://example.org/foo.whl"]\n',
        "[tool.other]\na = 1\n",
        "[broken\n",
        "",
    ],
    "conda": [
        "name: x\nchannels:\n  - conda-forge\ndependencies:\n  - python=3.10\n  - numpy=1.26\n  - pandas\n",
        "dependencies:\n  - python=3.10.*\n  - scipy==1.1\n  - a>=1\n",
        "dependencies:\n- numpy=1\n",
        "dependencies:\n  - pip\n  - pip:\n    - requests\n",
        "dependencies:\n  - conda-forge::numpy=1\n",
        "dependencies:\n  # nothing\n  - numpy=1=py3_0\n",
        "name: x\n",
        "",
    ],
    "yaml": ["a: 1\nb: [x, {y: 2.5}]\nc: ~\nd: 2020-01-01x\n", "- 1\n- 2\n", "a: [", "", "a: !!python/object:os.x\n"],
}
PARSERS = {
    "requirements": requirements_txt_parser,
    "pyproject": pyproject_toml_parser,
    "conda": conda_environment_yml_parser,
    "yaml": yaml_parser,
}


def tried(kind, text):
    try:
        return PARSERS[kind](text)
    except Exception as error:
        return "refused" if kind == "yaml" or os.environ.get("ANY") else type(error).__name__


class Parsed(FlowSpec):
    settings = Config("settings", default="settings.yml", parser=yaml_parser)
    needed = Config("needed", default="needed.txt", parser="metaflow.requirements_txt_parser")

    @step
    def start(self):
        self.rate = self.settings.model.rate
        self.names = list(self.needed.packages)
        self.all = {kind: [tried(kind, text) for text in texts] for kind, texts in TEXTS.items()}
        print(json.dumps(self.all["requirements"][0]))
        self.next(self.end)

    @step
    def end(self):
        print(self.rate, self.names)


if __name__ == "__main__":
    Parsed()
