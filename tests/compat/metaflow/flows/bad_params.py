import os

from metaflow import FlowSpec, IncludeFile, JSONType, Parameter, step


def wrong(context):
    raise ValueError("no default today")


def make(kind):
    return {
        "reserved": lambda: Parameter("tags", default=1),
        "reserved-case": lambda: Parameter("Max-Workers", default=1),
        "spaces": lambda: Parameter("a b", default=1),
        "type-mismatch": lambda: Parameter("x", default="text", type=int),
        "bool-mismatch": lambda: Parameter("x", default="maybe", type=bool),
        "json-mismatch": lambda: Parameter("x", default="{broken", type=JSONType),
        "separator": lambda: Parameter("x", default=1, separator=","),
        "raising-default": lambda: Parameter("x", default=wrong),
        "wrong-default": lambda: Parameter("x", default=lambda context: "text", type=int),
        "both": lambda: Parameter("x", default=1, required=True),
        "include-required": lambda: IncludeFile("x", required=True),
        "unknown-option": lambda: Parameter("x", default=1, nonsense=2),
        "same-name": lambda: Parameter("Other", default=1),
        "none-required": lambda: Parameter("x", required=True, type=int),
        "json-object": lambda: Parameter("x", default={"k": 1}, type=JSONType),
        "json-function": lambda: Parameter("x", default=lambda context: {"k": 1}, type=JSONType),
        "ok": lambda: Parameter("x", default=1),
    }[kind]()


class BadParams(FlowSpec):
    """A parameter that is declared wrongly."""

    other = Parameter("other", default=0)
    bad = make(os.environ["BAD"])

    @step
    def start(self):
        print(self.bad)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    BadParams()
