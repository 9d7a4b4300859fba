from plain_helpers import Table

from metaflow import FlowSpec, JSONType, Parameter, step


class OwnName(FlowSpec):
    """Steps call what they make ``self.name``, merge in two goes, and split over the columns of a table."""

    options = Parameter("options", type=JSONType, default={"depth": 1})

    @step
    def start(self):
        self.groups = ["x", "y"]
        self.name = "began"
        self.next(self.train, foreach="groups")

    @step
    def train(self):
        self.before = self.name
        self.name = f"model-{self.input}"
        self.shared = self.options
        self.table = Table([[1, 2, 3], [4, 5, 6]])
        print(self.name, self, hasattr(self, "name"))
        self.next(self.column, foreach="table")

    @step
    def column(self):
        self.total = sum(self.input)
        self.own = self.index
        self.next(self.add)

    @step
    def add(self, inputs):
        print(self.index, self.input, [one.name for one in inputs])
        self.totals = [one.total for one in inputs]
        self.merge_artifacts([inputs[0]], include=["total"])
        self.merge_artifacts(inputs, exclude=["own"])
        print(self.index, self.input, self.total, self.table.columns)
        self.next(self.pick)

    @step
    def pick(self, inputs):
        self.names = [one.name for one in inputs]
        self.merge_artifacts(inputs, include=["totals", "shared"])
        self.merge_artifacts(inputs, exclude="total table before input")
        self.next(self.end)

    @step
    def end(self):
        print(self.name, self.names, self.totals, self.shared)


if __name__ == "__main__":
    OwnName()
