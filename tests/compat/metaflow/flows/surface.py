"""Types of what users are handed: in steps, mutators, and by the Client API (``ask_surface.py``)."""

from metaflow import Config, FlowMutator, FlowSpec, JSONType, Parameter, StepMutator, card, current, project, step


def kind(value):
    """The types of a value and of what is in it."""
    name = type(value).__name__
    if isinstance(value, dict):
        return f"{name}{sorted({kind(one) for one in value.values()})}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"{name}{sorted({kind(one) for one in value})}"
    return name


seen = []


class Looks(FlowMutator):
    def pre_mutate(self, mutable_flow):
        seen.append([kind(mutable_flow.configs), kind(mutable_flow.parameters), kind(mutable_flow.steps)])

    def mutate(self, mutable_flow):
        seen.append([kind(list(mutable_flow.configs)), kind(list(mutable_flow.parameters))])
        seen.append([kind(list(mutable_flow.steps)), kind(list(mutable_flow.decorator_specs))])


class StepLooks(StepMutator):
    def mutate(self, mutable_step):
        seen.append([kind(mutable_step.decorator_specs), kind(list(mutable_step.decorator_specs))])


@Looks
@project(name="surface")
class Surface(FlowSpec):
    config = Config("config", default_value='{"a": [1, {"b": [2]}], "c": {"d": 3}}')
    several = Parameter("several", default="a,b", separator=",")
    json = Parameter("json", default='[1, {"a": [2]}]', type=JSONType)
    lasting = [1, (2, 3)]

    @StepLooks
    @card
    @step
    def start(self):
        tags = current.tags
        tags.add("mine")
        self.of_current = [kind(current.tags), type(current.graph["steps"]).__name__, kind(current.parameter_names)]
        self.of_names = [kind(getattr(current, name)) for name in ("run_id", "task_id", "is_production", "retry_count")]
        self.of_config = [kind(self.config.a), kind(self.config.c), kind(self.config.to_dict()), kind(self.config)]
        self.of_parameters = [kind(self.several), kind(self.json), kind(self.lasting), kind(self.foreach_stack())]
        self.of_mutators = seen
        self.items = ("u", "v")
        self.next(self.each, foreach="items")

    @step
    def each(self):
        self.stack = kind(self.foreach_stack())
        self.next(self.join)

    @step
    def join(self, inputs):
        self.of_inputs = [kind(inputs[0:1]), kind(list(inputs)), kind(iter(inputs))]
        names = [one["name"] for one in current.graph["steps"]["start"]["decorators"]]
        self.decorators = [name.rpartition(".")[2] for name in names]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Surface()
