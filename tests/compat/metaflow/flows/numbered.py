"""Ids of tasks, which count over the run: in branches, a foreach, joins and a loop."""

import glob
import os

from metaflow import FlowSpec, Parameter, current, step


class Numbered(FlowSpec):
    fail = Parameter("fail", default=False)

    @step
    def start(self):
        self.items = "abc"
        self.next(self.left, self.right)

    @step
    def left(self):
        self.mine = current.task_id
        self.next(self.each, foreach="items")

    @step
    def each(self):
        self.mine = current.task_id
        if self.fail and self.input == "b" and not os.path.exists("fine"):
            raise ValueError("not fine")
        self.next(self.gather)

    @step
    def gather(self, inputs):
        self.mine = current.task_id
        self.next(self.join)

    @step
    def right(self):
        self.mine = current.task_id
        open(f"file-of-{current.task_id}", "w").write("right")
        print("written", sorted(os.path.basename(one) for one in glob.glob("file-of-*")))
        self.next(self.join)

    @step
    def join(self, inputs):
        print("mine", [one.mine for one in inputs])
        try:
            self.merge_artifacts(inputs)
        except Exception as error:
            print(type(error).__name__)
        self.rounds = 0
        self.next(self.turn)

    @step
    def turn(self):
        self.rounds += 1
        self.again = "yes" if self.rounds < 3 else "no"
        self.next({"yes": self.turn, "no": self.end}, condition="again")

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Numbered()
