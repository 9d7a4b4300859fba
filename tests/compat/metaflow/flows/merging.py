from metaflow import FlowSpec, Parameter, step


class Merging(FlowSpec):
    """A merge that is refused, as a parameter says how."""

    how = Parameter("how", default="conflict")

    @step
    def start(self):
        self.base = "base"
        if self.how == "linear":
            self.merge_artifacts([])
        self.next(self.a, self.b)

    @step
    def a(self):
        self.value = 1
        self.equal = {"x": 1, "y": 2}
        self.same = [1, 2]
        self.only_a = "a"
        self.next(self.join)

    @step
    def b(self):
        self.value = 2
        self.equal = {"y": 2, "x": 1}
        self.same = [1, 2]
        self.next(self.join)

    @step
    def join(self, inputs):
        how = self.how
        if how == "conflict":
            self.merge_artifacts(inputs)
        elif how == "equal":
            self.merge_artifacts(inputs, exclude=["value"])
        elif how == "both":
            self.merge_artifacts(inputs, include=["same"], exclude=["value"])
        elif how == "missing":
            self.merge_artifacts(inputs, include=["same", "nowhere"])
        elif how == "include":
            self.merge_artifacts(inputs, include=["same", "only_a"])
        elif how == "include-conflict":
            self.merge_artifacts(inputs, include=["value"])
        elif how == "set":
            self.value = 3
            self.equal = None
            self.same = "mine"
            self.merge_artifacts(inputs)
        elif how == "include-set":
            self.value = 3
            self.merge_artifacts(inputs, include=["value", "same"])
        elif how == "exclude-unknown":
            self.merge_artifacts(inputs, exclude=["value", "equal", "nowhere"])
        elif how == "twice":
            self.merge_artifacts(inputs, include=["same"])
            self.merge_artifacts(inputs, exclude=["value", "equal"])
        elif how == "part":
            self.merge_artifacts([inputs.a])
        self.next(self.end)

    @step
    def end(self):
        for name in ("base", "value", "equal", "same", "only_a"):
            print(name, getattr(self, name, "absent"))


if __name__ == "__main__":
    Merging()
