import os

from metaflow import FlowSpec, current, step


class Around(FlowSpec):
    """What ``current`` and the surroundings say in each step."""

    @step
    def start(self):
        self.show()
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    def show(self):
        self.run_ids = sorted({current.run_id, current.pathspec.split("/")[1]})
        self.same = len(self.run_ids) == 1
        self.run_ids = None
        print(current.flow_name, current.step_name, current.retry_count, current.origin_run_id, current.namespace)
        print(current.username, current.is_running_flow, type(current.run_id).__name__)
        print(type(current.task_id).__name__, sorted(current.tags), current.get("nothing"), current.get("nothing", 1))
        print("flow_name" in current, "nothing" in current, type(current.graph).__name__)
        print(current.task.pathspec == current.pathspec, current.run.id == current.run_id, current.run.parent.id)
        try:
            print(current.project_name)
        except AttributeError as error:
            print(type(error).__name__)

    @step
    def work(self):
        print(current.step_name, current.pathspec.split("/")[2], current.task_id == current.pathspec.split("/")[3])
        self.next(self.join)

    @step
    def join(self, inputs):
        self.show()
        self.next(self.end)

    @step
    def end(self):
        print(os.path.basename(os.getcwd()) == os.path.basename(os.environ["HOME"]), os.path.exists("around.py"))
        print(__name__, os.path.basename(__file__))


if __name__ == "__main__":
    Around()
