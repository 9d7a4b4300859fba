"""Parameters with options of click: ``KIND`` says with which."""

import os

from metaflow import FlowSpec, Parameter, step


def noted(ctx, param, value):
    return (param.name, value, sorted(param.opts))


def doubled(ctx, param, value):
    return value * 2 if value else "nothing"


KINDS = {
    "flag": dict(is_flag=True),
    "flag-off": dict(is_flag=True, default=False),
    "flag-on": dict(is_flag=True, default=True),
    "flag-value": dict(is_flag=True, flag_value="on"),
    "flag-only-value": dict(flag_value="on", default="off"),
    "flag-number": dict(flag_value=7, default=2, type=int),
    "flags": dict(is_flag=True, multiple=True),
    "two": dict(nargs=2),
    "two-numbers": dict(nargs=2, type=int, default=(1, 2)),
    "pair": dict(type=(str, int), default=("a", 1)),
    "pairs": dict(nargs=2, multiple=True, type=int),
    "variable": dict(envvar="MY_VALUE"),
    "variables": dict(envvar=["MY_OTHER", "MY_VALUE"], type=int, default=3),
    "variable-several": dict(envvar="MY_VALUE", multiple=True),
    "variable-off": dict(envvar="MY_VALUE", allow_from_autoenv=False),
    "count": dict(count=True),
    "count-from": dict(count=True, default=2),
    "prompt": dict(prompt=True, default="asked"),
    "prompt-nobody": dict(prompt="Which", type=int),
    "callback": dict(callback=noted),
    "callback-default": dict(callback=doubled, default="low", hidden=True),
    "callback-function": dict(callback=doubled, default=lambda context: "made"),
    "multiple": dict(multiple=True),
    "multiple-numbers": dict(multiple=True, type=int, default=[1, 2]),
    "multiple-text": dict(multiple=True, default="abc"),
    "multiple-one": dict(multiple=True, default=5),
    "required": dict(required=True, nargs=2),
    "shown": dict(metavar="THING", show_default="as it is", default="x", show_envvar=True, envvar="MY_VALUE"),
}


class ClickParams(FlowSpec):
    value = Parameter("the-value", help="What it is.", **KINDS[os.environ["KIND"]])

    @step
    def start(self):
        print(repr(self.value))
        self.next(self.end)

    @step
    def end(self):
        print(repr(self.value))


if __name__ == "__main__":
    ClickParams()
