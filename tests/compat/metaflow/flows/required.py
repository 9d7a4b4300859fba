from metaflow import FlowSpec, IncludeFile, Parameter, step


class Required(FlowSpec):
    """Required parameters and files."""

    must = Parameter("must", type=int, required=True)
    file = IncludeFile("file", is_text=True, help="a file")
    raw = IncludeFile("raw", is_text=False, default="data.bin")

    @step
    def start(self):
        print(self.must + 1, repr(self.file), self.raw)
        self.next(self.end)

    @step
    def end(self):
        print(self.file)


if __name__ == "__main__":
    Required()
