import os

from metaflow import FlowSpec, Parameter, step

BAD = os.environ["BAD"]


class WrongAttributes(FlowSpec):
    """A parameter under an attribute that means something else, or set where it cannot be."""

    kept = Parameter("kept", default=1)
    locals()[
        {"name": "name", "next": "next", "input": "input", "index": "index", "hidden": "_hidden"}.get(BAD, "fine")
    ] = Parameter("other", default=2)

    @step
    def start(self):
        print("begun")
        if BAD == "set":
            self.kept = 5
        elif BAD == "delete":
            del self.kept
        elif BAD == "set-caught":
            try:
                self.kept = 5
            except AttributeError as error:
                print(error)
        elif BAD == "set-name":
            self.name = "x"
        elif BAD == "set-index":
            self.index = 1
        elif BAD == "set-input":
            self.input = 1
        elif BAD == "set-step":
            self.end = 1
        elif BAD == "absent":
            print(self.absent)
        elif BAD == "absent-input":
            print(self.input, self.index, self.foreach_stack())
        elif BAD == "hidden":
            print(self._hidden)
        self.next(self.end)

    @step
    def end(self):
        print(self.kept)


if __name__ == "__main__":
    WrongAttributes()
