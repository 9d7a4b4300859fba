"""The flow whose end starts another."""

from metaflow import FlowSpec, step


class Upstream(FlowSpec):
    @step
    def start(self):
        self.value = 42
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Upstream()
