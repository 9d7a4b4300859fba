"""One step of every kind, for the Client API to be asked about."""

import time

import asked_words

from metaflow import FlowSpec, Parameter, catch, current, parallel, retry, step


class Asked(FlowSpec):
    """Docs of the flow."""

    alpha = Parameter("alpha", default=3)
    constant = "k"

    @step
    def start(self):
        """The first step."""
        self.x = 1
        print("tempdir", current.tempdir, current.get("retry_count", 7), current.get("nothing"), "graph" in current)
        print("one\ntwo", end="")
        graph = current.graph
        print(sorted(graph), graph["start_step"], graph["end_step"], graph["graph_structure"])
        print(graph["parameters"], graph["constants"], graph["doc"], graph["file"])
        shown = ("name", "type", "doc", "next", "matching_join", "foreach_artifact", "num_parallel", "node_info")
        for name in sorted(graph["steps"]):
            node = graph["steps"][name]
            print([node.get(one) for one in shown], node["decorators"])
        for node in self._graph:
            print(
                node.name, node.type, sorted(node.in_funcs), node.out_funcs, node.parallel_step, node.parallel_foreach
            )
        print(self._graph["each"].is_inside_foreach, "nowhere" in self._graph, self._graph.start_step)
        self.next(self.left, self.right)

    @step
    def left(self):
        self.y = "l"
        print(asked_words.WORD)
        time.sleep(1)
        self.next(self.meet)

    @retry(times=2, minutes_between_retries=0)
    @step
    def right(self):
        self.y = f"r{current.retry_count}"
        self.tried = current.retry_count
        print("try", current.retry_count)
        if current.retry_count < 2:
            raise ValueError(f"no {current.retry_count}")
        self.next(self.meet)

    @step
    def meet(self, inputs):
        self.got = sorted(one.y for one in inputs)
        self.next(self.wide)

    @step
    def wide(self):
        self.items = ["p", "q", "a rather long text that is cut somewhere"]
        self.next(self.each, foreach="items")

    @catch(var="oops", print_exception=False)
    @step
    def each(self):
        self.z = self.input
        if self.index == 1:
            raise KeyError("caught")
        self.next(self.gather)

    @step
    def gather(self, inputs):
        self.zs = [one.z for one in inputs]
        self.next(self.split)

    @step
    def split(self):
        self.next(self.gang, num_parallel=2)

    @parallel
    @step
    def gang(self):
        self.node = current.parallel.node_index
        self.next(self.ungang)

    @step
    def ungang(self, inputs):
        self.nodes = sorted(one.node for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        print("bye")


if __name__ == "__main__":
    Asked()
