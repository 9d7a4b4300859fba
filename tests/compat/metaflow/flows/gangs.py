from metaflow import FlowSpec, Parameter, current, parallel, step


class Gangs(FlowSpec):
    """A gang of a size that is known at run time, with merges after it."""

    size = Parameter("size", default=2)

    @step
    def start(self):
        self.shared = [1]
        self.size_now = self.size
        self.next(self.gang, num_parallel=self.size_now)

    @parallel
    @step
    def gang(self):
        self.rank = current.parallel.node_index
        self.shared.append(self.rank)
        self.alike = "alike"
        print(self.rank, current.parallel.num_nodes, current.is_parallel, current.parallel.main_ip)
        print(self.index)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.ranks = sorted(one.rank for one in inputs)
        self.merge_artifacts(inputs, exclude=["rank", "shared"])
        print(self.ranks, self.alike, len(list(inputs)))
        self.next(self.end)

    @step
    def end(self):
        print(self.ranks)


if __name__ == "__main__":
    Gangs()
