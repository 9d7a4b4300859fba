from metaflow import FlowSpec, step


class Branches(FlowSpec):
    """Two levels of static branches, joins and merges."""

    const = "c"

    @step
    def start(self):
        self.common = [1]
        self.changed = 0
        self.next(self.a, self.b)

    @step
    def a(self):
        self.changed = "a"
        self.only_a = 1
        self.same = "s"
        self.next(self.a1, self.a2)

    @step
    def a1(self):
        self.x = 1
        self.next(self.join_a)

    @step
    def a2(self):
        self.x = 2
        self.next(self.join_a)

    @step
    def join_a(self, inputs):
        print(sorted(one.x for one in inputs), inputs.a1.x, inputs.a2.x, len(list(inputs)))
        self.total = sum(one.x for one in inputs)
        self.merge_artifacts(inputs, exclude=["x"])
        self.next(self.join)

    @step
    def b(self):
        self.changed = "b"
        self.only_b = 2
        self.same = "s"
        self.next(self.join)

    @step
    def join(self, inputs):
        try:
            self.merge_artifacts(inputs)
        except Exception as error:
            print(type(error).__name__, error.artifact_names)
        print(hasattr(self, "common"), self.const)
        try:
            self.merge_artifacts(inputs, include=["changed"], exclude=["same"])
        except Exception as error:
            print(type(error).__name__)
        try:
            self.merge_artifacts(inputs, include=["nowhere"])
        except Exception as error:
            print(type(error).__name__, error.artifact_names)
        self.changed = inputs.join_a.changed + inputs.b.changed
        self.merge_artifacts(inputs)
        print(self.changed, self.only_a, self.only_b, self.same, self.common)
        self.next(self.end)

    @step
    def end(self):
        try:
            self.merge_artifacts([])
        except Exception as error:
            print(type(error).__name__)
        print(self.total)


if __name__ == "__main__":
    Branches()
