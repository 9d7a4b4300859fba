from metaflow import FlowSpec, current, parallel, step


def place():
    return hasattr(current, "parallel"), hasattr(current, "is_parallel"), "parallel" in current


class GangBeside(FlowSpec):
    """What ``current`` says of gangs in all steps of a flow that has one."""

    @step
    def start(self):
        self.place = place()
        ip, nodes, index, control = current.parallel
        print(ip, nodes, index, control, current.get("is_parallel"), current.parallel._fields)
        print({"flow_name", "run_id", "task", "parallel", "tags", "pathspec", "graph", "get"} <= set(dir(current)))
        self.next(self.gang, num_parallel=2)

    @parallel
    @step
    def gang(self):
        self.place = place()
        self.at = tuple(current.parallel)[1:3]
        self.next(self.join)

    @step
    def join(self, inputs):
        self.places = [(one.place, one.at) for one in inputs]
        self.next(self.end)

    @step
    def end(self):
        print(current.parallel.num_nodes, self.places)


if __name__ == "__main__":
    GangBeside()
