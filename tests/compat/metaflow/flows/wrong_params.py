import os

from metaflow import FlowSpec, IncludeFile, JSONType, Parameter, step


def of(value):
    return lambda context: value


def raises(text):
    raise KeyError("parser")


MADE = {
    "underscored": lambda: Parameter("max_workers", default=1),
    "run-id": lambda: Parameter("run-id", default=1),
    "empty-name": lambda: Parameter("", default=1),
    "number-name": lambda: Parameter(5, default=1),
    "dash-name": lambda: Parameter("-x", default=1),
    "unicode-name": lambda: Parameter("größe", default=1),
    "dotted-name": lambda: Parameter("a.b", default=1),
    "no-name": lambda: Parameter(),
    "help-name": lambda: Parameter("help", default=1),
    "quiet-name": lambda: Parameter("quiet", default=1),
    "same": lambda: Parameter("x", default=1),
    "list-type": lambda: Parameter("x", type=list, default=[1]),
    "dict-type": lambda: Parameter("x", type=dict),
    "text-type": lambda: Parameter("x", type="int", default=1),
    "none-type": lambda: Parameter("x", default=None),
    "list-default": lambda: Parameter("x", default=[1, 2]),
    "tuple-default": lambda: Parameter("x", default=(1, 2)),
    "dict-default": lambda: Parameter("x", default={"a": 1}),
    "bool-as-int": lambda: Parameter("x", default=True, type=int),
    "float-as-int": lambda: Parameter("x", default=1.5, type=int),
    "text-as-int": lambda: Parameter("x", default="7", type=int),
    "int-as-float": lambda: Parameter("x", default=7, type=float),
    "int-as-bool": lambda: Parameter("x", default=1, type=bool),
    "text-as-bool": lambda: Parameter("x", default="yes", type=bool),
    "int-as-text": lambda: Parameter("x", default=5, type=str),
    "json-list": lambda: Parameter("x", default=[1], type=JSONType),
    "json-number": lambda: Parameter("x", default=5, type=JSONType),
    "json-text": lambda: Parameter("x", default='{"a": [1, null]}', type=JSONType),
    "json-set": lambda: Parameter("x", default={1}, type=JSONType),
    "function-none": lambda: Parameter("x", default=of(None)),
    "function-int": lambda: Parameter("x", default=of(5)),
    "function-int-int": lambda: Parameter("x", default=of(5), type=int),
    "function-int-float": lambda: Parameter("x", default=of(5), type=float),
    "function-float-int": lambda: Parameter("x", default=of(5.5), type=int),
    "function-bool": lambda: Parameter("x", default=of(True), type=bool),
    "function-text-bool": lambda: Parameter("x", default=of("true"), type=bool),
    "function-json-text": lambda: Parameter("x", default=of('{"a": 1}'), type=JSONType),
    "function-json-broken": lambda: Parameter("x", default=of("{"), type=JSONType),
    "function-no-argument": lambda: Parameter("x", default=lambda: "a"),
    "function-two-arguments": lambda: Parameter("x", default=lambda context, more: "a"),
    "separator-list": lambda: Parameter("x", default=["a"], separator=","),
    "separator-text": lambda: Parameter("x", default="a,b", separator=","),
    "separator-int": lambda: Parameter("x", type=int, separator=","),
    "separator-function": lambda: Parameter("x", default=of("a,b"), separator=","),
    "separator-function-text": lambda: Parameter("x", default=of("a,b"), type=str, separator=","),
    "separator-is-function": lambda: Parameter("x", default="a,b", separator=of(",")),
    "separator-empty": lambda: Parameter("x", default="a,b", separator=""),
    "required-function": lambda: Parameter("x", required=of(True)),
    "show-default-function": lambda: Parameter("x", default=1, show_default=of(True)),
    "required-text": lambda: Parameter("x", required="yes"),
    "help-number": lambda: Parameter("x", default=1, help=5),
    "multiple": lambda: Parameter("x", default=["a"], multiple=True),
    "include-absent": lambda: IncludeFile("x", default="nowhere.txt"),
    "include-folder": lambda: IncludeFile("x", default="."),
    "include-function": lambda: IncludeFile("x", default=of("given.txt")),
    "include-function-absent": lambda: IncludeFile("x", default=of("nowhere.txt")),
    "include-function-number": lambda: IncludeFile("x", default=of(5)),
    "include-encoding": lambda: IncludeFile("x", default="latin.bin"),
    "include-no-encoding": lambda: IncludeFile("x", default="given.txt", encoding="nonsense"),
    "include-json": lambda: IncludeFile("x", default='{"type": "nowhere"}'),
    "include-url": lambda: IncludeFile("x", default="s3://bucket/key"),
    "include-parser-absent": lambda: IncludeFile("x", default="given.txt", parser="nowhere.parser"),
    "include-parser-missing": lambda: IncludeFile("x", default="given.txt", parser="json.nothing"),
    "include-parser-bare": lambda: IncludeFile("x", default="given.txt", parser="nothing"),
    "include-parser-named": lambda: IncludeFile("x", default="data.json", parser="json.loads"),
    "include-parser-bytes": lambda: IncludeFile("x", default="data.json", parser="json.loads", is_text=False),
    "include-parser-none": lambda: IncludeFile("x", default="given.txt", parser=lambda text: None),
    "include-parser-raises": lambda: IncludeFile("x", default="given.txt", parser=raises),
    "include-unknown": lambda: IncludeFile("x", default="given.txt", nonsense=1),
    "include-type": lambda: IncludeFile("x", default="given.txt", type=int),
}


class WrongParams(FlowSpec):
    """A parameter of an odd kind."""

    if os.environ["BAD"] == "same":
        other = Parameter("x", default=2)
    bad = MADE[os.environ["BAD"]]()

    @step
    def start(self):
        print("begun")
        try:
            print(repr(self.bad))
        except Exception as error:
            print("looked:", type(error).__name__)
            raise
        self.next(self.end)

    @step
    def end(self):
        print(repr(self.bad), type(self.bad).__name__)


if __name__ == "__main__":
    WrongParams()
