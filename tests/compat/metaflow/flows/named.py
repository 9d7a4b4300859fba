"""What current knows of the project in deploy-time functions, mutators and steps."""

from metaflow import FlowMutator, FlowSpec, Parameter, StepMutator, current, project, step

seen = []
NAMES = ("project_name", "branch_name", "project_flow_name", "is_user_branch", "is_production", "flow_name")


def facts():
    return [getattr(current, name, "none") for name in NAMES]


def deployed(context):
    assert not current.is_running_flow and current.run_id is None
    return str(facts())


class Names(FlowMutator):
    def mutate(self, flow):
        seen.append(facts())


class StepNames(StepMutator):
    def mutate(self, step):
        seen.append(facts())


@Names
@project(name="shop")
class NamedEarly(FlowSpec):
    plain = Parameter("plain", default=deployed)
    text = Parameter("text", default=lambda context: current.project_name + ":" + current.get("branch_name"))

    @StepNames
    @step
    def start(self):
        self.facts, self.seen = facts(), seen
        self.parameters = current.parameter_names
        assert self.plain == str(facts()), self.plain
        assert self.text == f"{current.project_name}:{current.branch_name}"
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    NamedEarly()
