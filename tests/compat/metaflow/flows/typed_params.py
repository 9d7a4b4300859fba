from metaflow import FlowSpec, JSONType, Parameter, step


class TypedParams(FlowSpec):
    """A parameter of each type."""

    whole = Parameter("whole", type=int)
    real = Parameter("real", type=float)
    flag = Parameter("flag", type=bool)
    text = Parameter("text", type=str)
    tree = Parameter("tree", type=JSONType)
    words = Parameter("words", separator=",")
    with_dash = Parameter("with-dash", default=0)
    Upper = Parameter("Upper", default=0)

    @step
    def start(self):
        print(repr([self.whole, self.real, self.flag, self.text, self.tree, self.words, self.with_dash, self.Upper]))
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    TypedParams()
