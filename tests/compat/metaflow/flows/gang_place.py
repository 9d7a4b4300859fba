"""Where the tasks of a gang are told to be: by ``current.parallel`` and by variables."""

import os

from metaflow import FlowSpec, current, parallel, pytorch_parallel, step

NAMES = ("MF_PARALLEL_MAIN_IP", "MF_PARALLEL_NUM_NODES", "MF_PARALLEL_NODE_INDEX")
TORCH = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "WORLD_SIZE", "NUM_NODES")


class GangPlace(FlowSpec):
    @step
    def start(self):
        self.next(self.plain, num_parallel=2)

    @parallel
    @step
    def plain(self):
        place = current.parallel
        self.told = [place.main_ip, place.num_nodes, place.node_index]
        self.control = place.control_task_id
        self.variables = [os.environ[name] for name in NAMES]
        self.same = os.environ["MF_PARALLEL_CONTROL_TASK_ID"] == self.control
        if place.node_index == 0:
            assert current.task_id == self.control
        self.next(self.joined)

    @step
    def joined(self, inputs):
        self.told = sorted(one.told for one in inputs)
        self.one_control = len({one.control for one in inputs})
        self.next(self.torch, num_parallel=3)

    @pytorch_parallel(master_port=54321)
    @step
    def torch(self):
        self.variables = [os.environ[name] for name in TORCH]
        self.next(self.done)

    @step
    def done(self, inputs):
        self.all = sorted(one.variables for one in inputs)
        self.outside = [name for name in (*NAMES, *TORCH) if name in os.environ]
        self.next(self.end)

    @step
    def end(self):
        print(self.all)


if __name__ == "__main__":
    GangPlace()
