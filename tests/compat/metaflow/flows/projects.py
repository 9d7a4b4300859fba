import os

from metaflow import FlowSpec, Parameter, current, project, step


@project(name=os.environ.get("PROJECT", "atlas"))
class Projects(FlowSpec):
    """Names of project and branch."""

    alpha = Parameter("alpha", default=lambda context: context.flow_name)

    @step
    def start(self):
        print(current.project_name, current.branch_name, current.is_user_branch, current.is_production)
        print(current.project_flow_name, sorted(current.tags), current.namespace)
        self.next(self.end)

    @step
    def end(self):
        print(current.get("project_name"), current.get("project_flow_name"), "branch_name" in current)


if __name__ == "__main__":
    Projects()
