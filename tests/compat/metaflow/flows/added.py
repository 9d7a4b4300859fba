from metaflow import Config, FlowMutator, FlowSpec, StepMutator, UserStepDecorator, card, retry, step, timeout
from metaflow import user_step_decorator


@user_step_decorator
def announce(step_name, flow, inputs=None, attributes=None):
    print("before", step_name, inputs is None, attributes)
    yield
    print("after", step_name, flow.made)


class Count(UserStepDecorator):
    def init(self, *args, **kwargs):
        self.by = kwargs.get("by", 1)

    def pre_step(self, step_name, flow, inputs=None):
        print("counts by", self.by)


class Retries(StepMutator):
    def init(self, *args, **kwargs):
        self.times = kwargs.get("times", 1)

    def mutate(self, mutable_step):
        mutable_step.add_decorator(retry, deco_kwargs={"times": self.times, "minutes_between_retries": 0})


class Looks(FlowMutator):
    """Says what decorators there are, and adds and removes some by their names."""

    def pre_mutate(self, mutable_flow):
        print([one[:3] for one in mutable_flow.decorator_specs])

    def mutate(self, mutable_flow):
        made = mutable_flow.made_step
        print(list(made.decorator_specs), made.has_decorator("timeout"), made.has_decorator("announce"))
        print(made.get_decorator_specs("metaflow.plugins.timeout_decorator.TimeoutDecorator"))
        for given in ({"minutes": 1}, {"seconds": 0, "minutes": 1, "hours": 0}):
            print(made.remove_decorator("timeout", deco_args=[], deco_kwargs=given))
        print(made.add_decorator("Count:by=3") is None, made.add_decorator("Count") is None)
        print(made.add_decorator("announce", deco_kwargs={"word": "w"}, duplicates=made.OVERRIDE) is None)
        for wrong in ("nothing", "no.module.at_all", "Looks"):
            try:
                made.add_decorator(wrong)
            except Exception as error:
                print(wrong, type(error).__name__)
        try:
            made.add_decorator(Retries)
        except Exception as error:
            print(type(error).__name__)
        print([one[0].rpartition(".")[2] for one in made.decorator_specs])


@Looks
class Added(FlowSpec):
    """Its steps get decorators by name: from a mutator, and from ``--with``."""

    settings = Config("settings", default_value={"by": 2})

    @Retries(times=1)
    @step
    def start(self):
        self.made = "in start"
        self.next(self.made_step)

    @announce(word="v")
    @timeout(minutes=1)
    @card
    @step
    def made_step(self):
        self.made = "in made_step"
        self.next(self.end)

    @step
    def end(self):
        print("in end")


if __name__ == "__main__":
    Added()
