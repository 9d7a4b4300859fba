from metaflow import FlowMutator, FlowSpec, StepMutator, current, step


def names(step):
    return [name for name, *_ in step.decorator_specs]


class Careful(FlowMutator):
    """Gives retries to the steps that have none."""

    def mutate(self, mutable_flow):
        for name, one in mutable_flow.steps:
            if "retry" not in names(one):
                one.add_decorator("retry", deco_kwargs={"times": 2, "minutes_between_retries": 0})
            if name == "end":
                one.remove_decorator("environment")


class Quiet(StepMutator):
    """Tells the step what decorators it has."""

    def mutate(self, mutable_step):
        mutable_step.add_decorator(
            "environment",
            deco_kwargs={"vars": {"SEEN": " ".join(names(mutable_step))}},
            duplicates=mutable_step.OVERRIDE,
        )


@Careful
class SeenByMutators(FlowSpec):
    @Quiet
    @step
    def start(self):
        import os

        self.seen = os.environ.get("SEEN")
        self.next(self.end)

    @step
    def end(self):
        import os

        print(self.seen, os.environ.get("SEEN"), os.environ.get("GIVEN"), current.retry_count)
        if current.retry_count == 0:
            raise ValueError("once")


if __name__ == "__main__":
    SeenByMutators()
