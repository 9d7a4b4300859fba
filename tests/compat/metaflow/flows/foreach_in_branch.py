from metaflow import FlowSpec, step


class ForeachInBranch(FlowSpec):
    """One arm of a branch fans out, the other does not."""

    @step
    def start(self):
        self.common = {"k": "v"}
        self.next(self.fan, self.plain)

    @step
    def fan(self):
        self.items = ["p", "q"]
        self.arm = "fan"
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.got = self.input * 2
        self.next(self.gather)

    @step
    def gather(self, inputs):
        self.gots = [one.got for one in inputs]
        self.merge_artifacts(inputs, exclude=["got"])
        self.next(self.meet)

    @step
    def plain(self):
        self.arm = "plain"
        self.next(self.more)

    @step
    def more(self):
        self.extra = [self.common]
        self.next(self.meet)

    @step
    def meet(self, inputs):
        print(inputs.gather.arm, inputs.more.arm, inputs.gather.gots, inputs.more.extra)
        self.merge_artifacts(inputs, exclude=["arm"])
        print(hasattr(self, "arm"), self.gots, self.extra, self.items, self.common)
        self.next(self.end)

    @step
    def end(self):
        print(self.index, self.input, self.foreach_stack())


if __name__ == "__main__":
    ForeachInBranch()
