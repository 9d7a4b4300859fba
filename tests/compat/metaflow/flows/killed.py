import time

from metaflow import FlowSpec, step


class Killed(FlowSpec):
    """One branch never ends: somebody kills the run."""

    @step
    def start(self):
        self.items = [0, 1]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        print("begins", self.input, flush=True)
        if self.input:
            time.sleep(600)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Killed()
