import os

from metaflow import Config, FlowSpec, Parameter, config_expr, environment, step

BAD = os.environ["BAD"]


def nothing(thing):
    return thing


def raises(text):
    raise KeyError("parser")


def pairs(text):
    return dict(pair.split("=") for pair in text.split())


def of(value):
    return lambda context: value


MADE = {
    "absent-file": lambda: Config("cfg", default="nowhere.json"),
    "folder": lambda: Config("cfg", default="."),
    "broken-value": lambda: Config("cfg", default_value="{"),
    "text-value": lambda: Config("cfg", default_value="a text"),
    "list-value": lambda: Config("cfg", default_value="[1, 2]"),
    "number-value": lambda: Config("cfg", default_value="5"),
    "null-value": lambda: Config("cfg", default_value="null"),
    "list-object": lambda: Config("cfg", default_value=[1]),
    "number-object": lambda: Config("cfg", default_value=5),
    "both-defaults": lambda: Config("cfg", default="c.json", default_value={"a": 1}),
    "required-default": lambda: Config("cfg", default="c.json", required=True),
    "required-absent": lambda: Config("cfg", default="nowhere.json", required=True),
    "parser-raises": lambda: Config("cfg", default_value="a=1", parser=raises),
    "parser-list": lambda: Config("cfg", default_value="a b", parser=str.split),
    "parser-plain-list": lambda: Config("cfg", default_value="a b", parser=str.split, plain=True),
    "parser-absent": lambda: Config("cfg", default_value="a=1", parser="nowhere.parser"),
    "parser-missing": lambda: Config("cfg", default_value="a=1", parser="json.nothing"),
    "parser-bare": lambda: Config("cfg", default_value="a=1", parser="nothing"),
    "parser-named": lambda: Config("cfg", default_value='{"a": 1}', parser="json.loads"),
    "parser-own": lambda: Config("cfg", default_value="a=1 b=2", parser=pairs),
    "parser-dict": lambda: Config("cfg", default_value={"a": "b"}, parser="json.loads"),
    "plain-text": lambda: Config("cfg", default_value="a text", plain=True),
    "plain-json": lambda: Config("cfg", default_value='{"a": 1}', plain=True),
    "plain-dict": lambda: Config("cfg", default_value={"a": 1}, plain=True),
    "plain-file": lambda: Config("cfg", default="c.json", plain=True),
    "function": lambda: Config("cfg", default_value=of({"a": 1})),
    "function-text": lambda: Config("cfg", default_value=of('{"a": 1}')),
    "function-file": lambda: Config("cfg", default=of("c.json")),
    "function-none": lambda: Config("cfg", default_value=of(None)),
    "function-raises": lambda: Config("cfg", default_value=raises),
    "function-number": lambda: Config("cfg", default_value=of(5)),
    "unknown-option": lambda: Config("cfg", default_value={"a": 1}, nonsense=1),
    "no-name": lambda: Config(),
    "same-name": lambda: Config("other", default_value={"a": 1}),
}.get(
    BAD, lambda: Config("cfg", default_value={"a": 1, "deep": {"er": [1, {"b": 2}]}, "vars": {"X": "1"}, "name": "n"})
)


def expression(cfg):
    return {
        "missing-key": lambda: environment(vars={"X": cfg.nothing}),
        "missing-deep": lambda: environment(vars={"X": cfg.deep.nothing.at.all}),
        "missing-item": lambda: environment(vars={"X": cfg["nothing"]}),
        "expr-missing": lambda: environment(vars={"X": config_expr("cfg.nothing")}),
        "expr-no-config": lambda: environment(vars={"X": config_expr("nowhere.a")}),
        "expr-syntax": lambda: environment(vars={"X": config_expr("cfg.")}),
        "expr-raises": lambda: environment(vars={"X": config_expr("1 / 0")}),
        "expr-fine": lambda: environment(vars={"X": config_expr("str(cfg.a + 1)")}),
        "unpack": lambda: environment(**cfg),
        "unpack-deep": lambda: environment(vars=cfg.vars),
        "called": lambda: environment(vars={"X": cfg.deep.er.upper()}),
        "added": lambda: environment(vars={"X": cfg.a + 1}),
    }.get(BAD, lambda: nothing)()


class WrongConfigs(FlowSpec):
    """A config of an odd kind, or used oddly."""

    if BAD in ("same-name", "two"):
        other = Config("other", default_value={"b": 2})
    cfg = MADE()
    if BAD == "parameter":
        value = Parameter("value", default=cfg.a)
    if BAD == "parameter-missing":
        value = Parameter("value", default=cfg.nothing)
    if BAD == "parameter-type":
        value = Parameter("value", default=cfg.name, type=int)
    if BAD == "parameter-same":
        value = Parameter("cfg", default=1)
    if BAD == "parameter-whole":
        value = Parameter("value", default=cfg)

    @expression(cfg)
    @step
    def start(self):
        print("begun", os.environ.get("X"))
        self.shown = repr(self.cfg)
        {
            "read-missing": lambda: self.cfg.nothing,
            "read-item": lambda: self.cfg["nothing"],
            "read-get": lambda: print(self.cfg.get("nothing", 5), "a" in self.cfg, len(self.cfg), list(self.cfg)),
            "read-deep": lambda: print(self.cfg.deep.er[1].b, type(self.cfg.deep).__name__),
            "write": lambda: setattr(self.cfg, "a", 2),
            "write-item": lambda: self.cfg.__setitem__("a", 2),
            "delete-item": lambda: self.cfg.__delitem__("a"),
            "update": lambda: self.cfg.update({"a": 2}),
            "set": lambda: setattr(self, "cfg", 5),
            "equal": lambda: print(self.cfg == {"a": 1}, self.cfg == self.cfg.to_dict(), isinstance(self.cfg, dict)),
            "copied": lambda: print(sorted(dict(**self.cfg)), sorted(self.cfg.copy()), sorted({**self.cfg})),
        }.get(BAD, lambda: None)()
        if BAD == "kept":
            self.kept = self.cfg
            self.part = self.cfg.deep
        self.next(self.end)

    @step
    def end(self):
        print(self.shown, type(self.cfg).__name__)
        print(getattr(self, "value", None))


if __name__ == "__main__":
    WrongConfigs()
