"""Nodes of a gang that end without self.next, or name another step there."""

from metaflow import FlowSpec, Parameter, current, parallel, step


class GangQuiet(FlowSpec):
    quiet = Parameter("quiet", default="workers")

    @step
    def start(self):
        self.next(self.train, num_parallel=3)

    @parallel
    @step
    def train(self):
        self.mine = current.task_id
        node = current.parallel.node_index
        if self.quiet == "elsewhere" and node:
            self.next(self.end)
            return
        if self.quiet == "all" or (self.quiet == "workers" and node) or (self.quiet == "first" and not node):
            return
        self.next(self.join)

    @step
    def join(self, inputs):
        print("nodes", [one.mine for one in inputs], current.task_id)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    GangQuiet()
