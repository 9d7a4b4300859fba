import os

from metaflow import FlowSpec, secrets, step
from metaflow.plugins.secrets.secrets_func import get_secret

KIND = os.environ["KIND"]


def inline(name="x", **values):
    return {"type": "inline", "id": name, "options": {"env_vars": values}}


SOURCES = {
    "text": (["inline.something"], False),
    "several": ([inline(A="1"), inline("y", B="2")], False),
    "twice": ([inline(A="1"), inline("y", A="2")], True),
    "metaflow": ([inline(METAFLOW_A="1")], False),
    "name": ([inline(**{"a-b": "1"})], False),
    "value": ([inline(A=1)], False),
    "options": ([{"type": "inline", "id": "x", "options": 5}], False),
    "type": ([{"type": 5, "id": "x"}], False),
    "no-dot": (["something"], False),
    "existing": ([inline(HOME="1")], False),
}[KIND]


class Secret(FlowSpec):
    """Secrets in all forms."""

    @secrets(sources=SOURCES[0], allow_override=SOURCES[1])
    @step
    def start(self):
        self.found = [os.environ.get("A"), os.environ.get("B")]
        self.asked = get_secret(inline("z", C="3")), get_secret("inline.none")
        self.next(self.end)

    @step
    def end(self):
        try:
            get_secret(5)
        except Exception as error:
            print(type(error).__name__)


if __name__ == "__main__":
    Secret()
