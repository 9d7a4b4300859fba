from metaflow import FlowSpec, current, parallel, step


class Gang(FlowSpec):
    """Three tasks that run at once."""

    @step
    def start(self):
        self.given = 4
        self.next(self.train, num_parallel=3)

    @parallel
    @step
    def train(self):
        self.node = current.parallel.node_index
        self.nodes = current.parallel.num_nodes
        print(self.node, self.nodes, self.given, self.input)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.all = sorted(one.node for one in inputs)
        print(self.all)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Gang()
