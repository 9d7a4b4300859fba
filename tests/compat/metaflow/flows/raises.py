import sys

import shapes
from metaflow import FlowSpec, Parameter, step
from metaflow.exception import MetaflowException


class Own(MetaflowException):
    headline = "My own"


class Raises(FlowSpec):
    """Ends with an exception, of many kinds."""

    how = Parameter("how", default="custom")

    @step
    def start(self):
        self.set_before = [1]
        print("out", flush=True)
        print("err: out", file=sys.stderr)
        how = self.how
        if how == "custom":
            shapes.fail()
        elif how == "own":
            raise Own("of metaflow's kind")
        elif how == "unicode":
            raise ValueError("ünïcode 🎉\n  second line")
        elif how == "empty":
            raise ValueError
        elif how == "assert":
            assert how == "x", "an assertion"
        elif how == "group":
            raise ExceptionGroup("several", [ValueError(1), TypeError(2)])
        elif how == "recursion":
            self.deep(0)
        elif how == "import":
            import not_there_at_all  # noqa: F401
        elif how == "attribute":
            print(self.absent)
        elif how == "next-unknown":
            self.next(self.deep)
        elif how == "next-none":
            self.next()
        elif how == "base":
            raise BaseException("base")
        self.next(self.end)

    def deep(self, n=0):
        return self.deep(n + 1)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Raises()
