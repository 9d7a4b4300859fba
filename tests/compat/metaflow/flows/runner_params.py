"""Parameters of all kinds, a config and a mutator, for ``use_runner_checks.py``."""

import time

from metaflow import Config, FlowMutator, FlowSpec, IncludeFile, JSONType, Parameter, step


class Adds(FlowMutator):
    def pre_mutate(self, mutable_flow):
        mutable_flow.add_parameter("added", Parameter("added", type=str, default=mutable_flow.limits.word))


@Adds
class RunnerParams(FlowSpec):
    limits = Config("limits", default_value={"word": "plain"})
    must = Parameter("must", type=int, required=True)
    Big_name = Parameter("Big-Name", default=1.5)
    yes = Parameter("yes", default=False)
    data = Parameter("data", type=JSONType, default={"a": 1})
    parts = Parameter("parts", separator=",", default="a,b")
    text = IncludeFile("text", required=False)

    @step
    def start(self):
        print("took", self.must, self.Big_name, self.yes, self.data, self.parts, self.text, self.added)
        time.sleep(self.must if self.must > 10 else 0)
        if self.must == 7:
            raise ValueError("seven")
        self.next(self.end)

    @step
    def end(self):
        print("limits", dict(self.limits))


if __name__ == "__main__":
    RunnerParams()
