import os
import sys

from metaflow import FlowSpec, catch, retry, step


class err(BaseException):
    """No Exception, so that nothing catches it."""


class Leaves(FlowSpec):
    """Steps that end their process, or fail for another failure."""

    @step
    def start(self):
        self.ways = ["chained", "a text that is longer than twenty", *os.environ.get("WAYS", "").split()]
        self.next(self.leave, foreach="ways")

    @catch(var="failed")
    @retry(times=0)
    @step
    def leave(self):
        if self.input == "exit":
            sys.exit("err: said at exit")
        if self.input == "base":
            raise err("said by it")
        if self.input == "chained":
            try:
                {}["x"]
            except KeyError as error:
                raise ValueError(f"longer: {self}") from error
        print(self)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.found = [one.failed and (one.failed.type, repr(one.failed.exception)) for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Leaves()
