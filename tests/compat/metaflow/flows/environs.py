import os

from metaflow import FlowSpec, card, current, environment, project, resources, secrets, step


@project(name="atlas")
class Environs(FlowSpec):
    """Decorators that set things, and what ``current`` knows."""

    @environment(vars={"COLOUR": "red"})
    @resources(cpu=1, memory=100)
    @step
    def start(self):
        print(os.environ["COLOUR"])
        print(current.flow_name, current.step_name, current.retry_count, current.username, current.namespace)
        print(current.is_running_flow, current.project_name, current.branch_name, current.project_flow_name)
        print(current.is_production, current.is_user_branch, sorted(current.tags), "nope" in current)
        print(current.get("nope", "default"), current.origin_run_id)
        print(current.pathspec.split("/")[0::2], current.run_id == current.pathspec.split("/")[1])
        self.next(self.quiet)

    @card
    @secrets(sources=[{"type": "inline", "id": "x", "options": {"env_vars": {"KEY": "value"}}}])
    @step
    def quiet(self):
        print(os.environ.get("COLOUR"), os.environ["KEY"])
        self.next(self.end)

    @step
    def end(self):
        print(os.environ.get("KEY"))


if __name__ == "__main__":
    Environs()
