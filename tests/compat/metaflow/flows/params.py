from metaflow import FlowSpec, JSONType, Parameter, current, step


def made_up(context):
    return f"{context.flow_name}-{context.parameter_name}"


class Params(FlowSpec):
    """All types of parameters."""

    text = Parameter("text", default="t", help="a text")
    number = Parameter("number", default=1)
    real = Parameter("real", type=float, default=1.5)
    flag = Parameter("flag", default=False)
    flag2 = Parameter("flag2", type=bool, default=True)
    data = Parameter("data", type=JSONType, default='{"a": [1, null]}')
    listed = Parameter("listed", default="a,b", separator=",")
    late = Parameter("late", default=made_up, type=str)
    renamed = Parameter("other-name", default="o")
    nothing = Parameter("nothing")

    @step
    def start(self):
        for name in ("text", "number", "real", "flag", "flag2", "data", "listed", "late", "renamed", "nothing"):
            print(name, repr(getattr(self, name)))
        try:
            self.text = "no"
        except AttributeError as error:
            print(error)
        print(sorted(current.parameter_names))
        self.next(self.end)

    @step
    def end(self):
        print(self.data["a"])


if __name__ == "__main__":
    Params()
