from metaflow import FlowSpec, step


class Mutation(FlowSpec):
    """Changes in place stay in their own branch."""

    @step
    def start(self):
        self.items = [1, 2, 3]
        self.log = ["start"]
        self.unread = {"a": 1}
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.log.append(self.input)
        self.items.append("more")
        self.next(self.again)

    @step
    def again(self):
        print(self.input, len(self.items))
        self.log += ["again"]
        alias = self.log
        alias.append("alias")
        self.next(self.join)

    @step
    def join(self, inputs):
        self.logs = [one.log for one in inputs]
        self.lengths = [len(one.items) for one in inputs]
        self.merge_artifacts(inputs, include=["unread"])
        self.unread["b"] = 2
        self.next(self.end)

    @step
    def end(self):
        print(self.logs, self.lengths, self.unread)


if __name__ == "__main__":
    Mutation()
