from metaflow import FlowSpec, catch, step


class CaughtForeach(FlowSpec):
    """Some splits fail and are caught; merging afterwards."""

    @step
    def start(self):
        self.items = [1, 0, 2]
        self.kept = "k"
        self.next(self.work, foreach="items")

    @catch(var="problem", print_exception=False)
    @step
    def work(self):
        self.result = 10 // self.input
        self.next(self.after)

    @step
    def after(self):
        self.ok = self.problem is None
        self.next(self.join)

    @step
    def join(self, inputs):
        self.results = [getattr(one, "result", None) for one in inputs]
        self.oks = [one.ok for one in inputs]
        self.merge_artifacts(inputs, include=["kept"])
        self.next(self.end)

    @step
    def end(self):
        print(self.results, self.oks, self.kept)


if __name__ == "__main__":
    CaughtForeach()
