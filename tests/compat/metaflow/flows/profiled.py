from metaflow import FlowSpec, current, step


class Profiled(FlowSpec):
    """Shows the settings that it runs with."""

    @step
    def start(self):
        self.words = ["a rather long word", "b"]
        print(current.username, current.namespace, current.tempdir)
        self.next(self.each, foreach="words")

    @step
    def each(self):
        if current.retry_count == 0:
            print("first", [frame.value for frame in self._foreach_stack])
            raise ValueError("once")
        print("again", current.retry_count)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Profiled()
