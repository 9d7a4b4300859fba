from metaflow import FlowSpec, Parameter, step


class MergingForeach(FlowSpec):
    """Merges at the join of a foreach."""

    differ = Parameter("differ", default=False)

    @step
    def start(self):
        self.items = ["a", "b", "c"]
        self.kept = {"k": 1}
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.constant = "c"
        if self.index == 1:
            self.only_second = 2
        if self.differ:
            self.own = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs)
        print(self.items, self.kept, self.constant, self.only_second)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    MergingForeach()
