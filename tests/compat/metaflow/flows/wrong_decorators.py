import os

from metaflow import (
    FlowSpec,
    Parameter,
    batch,
    card,
    catch,
    conda,
    conda_base,
    environment,
    exit_hook,
    kubernetes,
    parallel,
    project,
    pypi,
    pypi_base,
    pytorch_parallel,
    resources,
    retry,
    schedule,
    secrets,
    step,
    timeout,
    trigger,
    trigger_on_finish,
)

BAD = os.environ["BAD"]


def nothing(thing):
    return thing


def ended():
    print("hook")


def of(value):
    return lambda context: value


def named(parameters):
    return trigger(event={"name": "a", "parameters": parameters})


ON_FLOW = {
    "trigger-fine": lambda: trigger(event="a"),
    "trigger-dict": lambda: trigger(event={"name": "a", "parameters": {"other": "x"}}),
    "trigger-dict-bare": lambda: trigger(event={"name": "a"}),
    "trigger-no-name": lambda: trigger(event={"parameters": {}}),
    "trigger-name-number": lambda: trigger(event={"name": 5}),
    "trigger-name-function": lambda: trigger(event={"name": of("a")}),
    "trigger-function": lambda: trigger(event=of("a")),
    "trigger-function-raises": lambda: trigger(event=lambda context: 1 / 0),
    "trigger-list": lambda: trigger(events=["a", {"name": "b"}]),
    "trigger-list-wrong": lambda: trigger(events=["a", 5]),
    "trigger-list-twice": lambda: trigger(events=["a", "a"]),
    "trigger-list-empty": lambda: trigger(events=[]),
    "trigger-events-text": lambda: trigger(events="a"),
    "trigger-events-tuple": lambda: trigger(events=("a", "b")),
    "trigger-events-dict": lambda: trigger(events={"name": "a"}),
    "trigger-events-function": lambda: trigger(events=of(["a"])),
    "trigger-event-list": lambda: trigger(event=["a"]),
    "trigger-event-empty": lambda: trigger(event=""),
    "trigger-unknown": lambda: trigger(nonsense=1),
    "trigger-twice": lambda: lambda cls: trigger(event="a")(trigger(event="b")(cls)),
    "trigger-parameters-list": lambda: named(["other"]),
    "trigger-parameters-pairs": lambda: named([("other", "x")]),
    "trigger-parameters-triple": lambda: named([("other", "x", "y")]),
    "trigger-parameters-pair-number": lambda: named([("other", 5)]),
    "trigger-parameters-number-list": lambda: named([5]),
    "trigger-parameters-number": lambda: named(5),
    "trigger-parameters-text": lambda: named("other"),
    "trigger-parameters-value": lambda: named({"other": 5}),
    "trigger-parameters-key": lambda: named({5: "x"}),
    "trigger-parameters-unknown": lambda: named({"nowhere": "x"}),
    "trigger-parameters-function": lambda: named(of({"other": "x"})),
    "trigger-options": lambda: trigger(event="a", options=5),
    "finish-fine": lambda: trigger_on_finish(flow="Other"),
    "finish-empty": lambda: trigger_on_finish,
    "finish-both": lambda: trigger_on_finish(flow="A", flows=["B"]),
    "finish-number": lambda: trigger_on_finish(flow=5),
    "finish-list": lambda: trigger_on_finish(flow=["A"]),
    "finish-flows-text": lambda: trigger_on_finish(flows="A"),
    "finish-flows-number": lambda: trigger_on_finish(flows=["A", 5]),
    "finish-flows-tuple": lambda: trigger_on_finish(flows=("A", "B")),
    "finish-flows-twice": lambda: trigger_on_finish(flows=["A", "A"]),
    "finish-dotted": lambda: trigger_on_finish(flow="project.branch.Flow"),
    "finish-dotted-more": lambda: trigger_on_finish(flow="project.test.branch.Flow"),
    "finish-half": lambda: trigger_on_finish(flow="project.Flow"),
    "finish-name": lambda: trigger_on_finish(flow="Has Space"),
    "finish-dash": lambda: trigger_on_finish(flow="has-dash"),
    "finish-empty-text": lambda: trigger_on_finish(flow=""),
    "finish-dict": lambda: trigger_on_finish(flow={"name": "A", "project": "p", "project_branch": "b"}),
    "finish-dict-no-name": lambda: trigger_on_finish(flow={"project": "p"}),
    "finish-dict-name": lambda: trigger_on_finish(flow={"name": 5}),
    "finish-dict-dotted": lambda: trigger_on_finish(flow={"name": "a.b.C"}),
    "finish-dict-project": lambda: trigger_on_finish(flow={"name": "A", "project": 5}),
    "finish-dict-branch": lambda: trigger_on_finish(flow={"name": "A", "project_branch": 5}),
    "finish-dict-unknown": lambda: trigger_on_finish(flow={"name": "A", "nonsense": 5}),
    "finish-dicts-no-name": lambda: trigger_on_finish(flows=["A", {"project": "p"}]),
    "finish-function": lambda: trigger_on_finish(flow=of("A")),
    "finish-flows-function": lambda: trigger_on_finish(flows=of(["A"])),
    "finish-unknown": lambda: trigger_on_finish(nonsense=1),
    "schedule-bare": lambda: schedule,
    "schedule-none": lambda: schedule(daily=False),
    "schedule-several": lambda: schedule(daily=True, weekly=True, cron="x"),
    "schedule-cron": lambda: schedule(cron="not a schedule"),
    "schedule-number": lambda: schedule(cron=5),
    "schedule-timezone": lambda: schedule(timezone="Nowhere/At_All"),
    "schedule-twice": lambda: lambda cls: schedule(daily=True)(schedule(hourly=True)(cls)),
    "project-long": lambda: project(name="a" * 129),
    "project-128": lambda: project(name="a" * 128),
    "project-number": lambda: project(name=5),
    "project-branch": lambda: project(name="a", branch="b"),
    "project-branch-wrong": lambda: project(name="a", branch="Has-Dash"),
    "project-branch-long": lambda: project(name="a", branch="b" * 129),
    "project-branch-number": lambda: project(name="a", branch=5),
    "project-production": lambda: project(name="a", production=True),
    "project-production-branch": lambda: project(name="a", production=True, branch="b"),
    "hook-fine": lambda: exit_hook(on_success=[ended]),
    "hook-empty": lambda: exit_hook,
    "hook-empty-lists": lambda: exit_hook(on_success=[], on_error=[]),
    "hook-number": lambda: exit_hook(on_success=[5]),
    "hook-error-number": lambda: exit_hook(on_error=[5]),
    "hook-bare": lambda: exit_hook(on_success=ended),
    "hook-text": lambda: exit_hook(on_success=["ended"]),
    "hook-text-absent": lambda: exit_hook(on_success=["nowhere"]),
    "hook-unknown": lambda: exit_hook(nonsense=1),
    "conda-base-unknown": lambda: conda_base(nonsense=1),
    "pypi-base-unknown": lambda: pypi_base(nonsense=1),
    "pypi-base-libraries": lambda: pypi_base(libraries={"a": "1"}),
    "pypi-base": lambda: pypi_base(packages={"nothing-at-all": "1.0"}),
    "conda-base": lambda: conda_base(packages={"nothing-at-all": "1.0"}),
    "pypi-base-disabled": lambda: pypi_base(packages={"nothing-at-all": "1.0"}, disabled=True),
    "conda-base-disabled": lambda: conda_base(packages={"nothing-at-all": "1.0"}, disabled=True),
    "step-on-flow": lambda: retry,
    "step-on-flow-arguments": lambda: retry(times=1),
}
ON_STEP = {
    "conda-unknown": lambda: conda(nonsense=1),
    "conda-alone": lambda: conda(packages={"nothing-at-all": "1.0"}),
    "conda-disabled": lambda: conda(packages={"nothing-at-all": "1.0"}, disabled=True),
    "conda-bare": lambda: conda,
    "pypi-unknown": lambda: pypi(nonsense=1),
    "pypi-libraries": lambda: pypi(libraries={"a": "1"}),
    "pypi-alone": lambda: pypi(packages={"nothing-at-all": "1.0"}),
    "pypi-disabled": lambda: pypi(packages={"nothing-at-all": "1.0"}, disabled=True),
    "batch-unknown": lambda: batch(nonsense=1),
    "kubernetes-unknown": lambda: kubernetes(nonsense=1),
    "retry-positional": lambda: retry(3),
    "retry-fraction": lambda: retry(times=1.5),
    "retry-none": lambda: retry(times=None),
    "timeout-text": lambda: timeout(seconds="x"),
    "timeout-fraction": lambda: timeout(seconds=1.5),
    "timeout-text-number": lambda: timeout(seconds="30"),
    "timeout-unknown": lambda: timeout(days=1),
    "catch-unknown": lambda: catch(nonsense=1),
    "catch-number": lambda: catch(var=5),
    "catch-bad-name": lambda: catch(var="has space"),
    "catch-twice": lambda: lambda f: catch(catch(f)),
    "environment-text": lambda: environment(vars="A=1"),
    "environment-none": lambda: environment(vars={"A": None}),
    "environment-unknown": lambda: environment(A="1"),
    "environment-key": lambda: environment(vars={5: "x"}),
    "environment-empty-key": lambda: environment(vars={"": "x"}),
    "resources-unknown": lambda: resources(nonsense=1),
    "resources-negative": lambda: resources(cpu=-1),
    "resources-zero": lambda: resources(cpu=0),
    "resources-text-number": lambda: resources(cpu="1", memory="100"),
    "secrets-none": lambda: secrets,
    "secrets-number": lambda: secrets(sources=[5]),
    "secrets-no-type": lambda: secrets(sources=[{"id": "x"}]),
    "secrets-no-id": lambda: secrets(sources=[{"type": "inline", "options": {"env_vars": {"A": "1"}}}]),
    "secrets-text": lambda: secrets(sources=["a-name"]),
    "secrets-value": lambda: secrets(sources=[{"type": "inline", "id": "x", "options": {"env_vars": {"A": 5}}}]),
    "secrets-key": lambda: secrets(sources=[{"type": "inline", "id": "x", "options": {"env_vars": {"a b": "5"}}}]),
    "secrets-unknown-attribute": lambda: secrets(nonsense=1),
    "card-unknown": lambda: card(nonsense=1),
    "card-type": lambda: card(type="nowhere"),
    "card-id": lambda: card(id="Has Space"),
    "card-options": lambda: card(options=5),
    "parallel-unknown": lambda: parallel(nonsense=1),
    "pytorch-unknown": lambda: pytorch_parallel(nonsense=1),
    "flow-on-step": lambda: project(name="a"),
    "flow-on-step-bare": lambda: schedule,
}


class Base(FlowSpec):
    """Is there for decorators that are inherited."""


@ON_FLOW.get(BAD, lambda: nothing)()
class WrongDecorators(Base):
    """A decorator with wrong attributes."""

    other = Parameter("other", default="o")

    @ON_STEP.get(BAD, lambda: nothing)()
    @step
    def start(self):
        print("ran", os.environ.get("A"))
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    WrongDecorators()
