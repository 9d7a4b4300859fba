"""One branch fails while the other would go on for a long time."""

import sys
import time

from metaflow import FlowSpec, step


class Stopped(FlowSpec):
    @step
    def start(self):
        self.next(self.slow, self.wrong)

    @step
    def slow(self):
        print("before")
        print("err: before", file=sys.stderr)
        sys.stdout.flush()
        time.sleep(120)
        self.next(self.join)

    @step
    def wrong(self):
        time.sleep(3)
        raise ValueError("wrong")

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Stopped()
