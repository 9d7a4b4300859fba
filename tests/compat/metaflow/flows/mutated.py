import os

from metaflow import Config, FlowMutator, FlowSpec, Parameter, StepMutator, current, environment, retry, step


class AddParameter(FlowMutator):
    """Adds a parameter, and a decorator to every step that is named in a config."""

    def init(self, *args, **kwargs):
        self.extra = kwargs.get("extra", "none")

    def pre_mutate(self, mutable_flow):
        mutable_flow.add_parameter("added", Parameter("added", default=int(self.extra)))

    def mutate(self, mutable_flow):
        names = dict(mutable_flow.configs)["cfg"].steps
        for name, one in mutable_flow.steps:
            if name in names:
                one.add_decorator(environment, deco_kwargs={"vars": {"BY_MUTATOR": name}})


class AddRetry(StepMutator):
    """Adds a retry to its step."""

    def mutate(self, mutable_step):
        mutable_step.add_decorator(retry, deco_kwargs={"times": 1, "minutes_between_retries": 0})


@AddParameter(extra="41")
class Mutated(FlowSpec):
    """Changed by mutators before it runs."""

    cfg = Config("cfg", default_value={"steps": ["middle"]})

    @AddRetry
    @step
    def start(self):
        print(self.added, current.retry_count)
        if current.retry_count == 0:
            raise ValueError("once")
        self.next(self.middle)

    @step
    def middle(self):
        print(os.environ.get("BY_MUTATOR"))
        self.sum = self.added + 1
        self.next(self.end)

    @step
    def end(self):
        print(os.environ.get("BY_MUTATOR"), self.sum)


if __name__ == "__main__":
    Mutated()
