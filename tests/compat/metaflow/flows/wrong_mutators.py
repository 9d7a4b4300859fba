import os

from metaflow import (
    Config,
    FlowMutator,
    FlowSpec,
    Parameter,
    StepMutator,
    UserStepDecorator,
    environment,
    project,
    retry,
    schedule,
    step,
    user_step_decorator,
)
from metaflow.user_decorators.mutable_flow import MutableFlow
from metaflow.user_decorators.mutable_step import MutableStep

BAD = os.environ["BAD"]


def nothing(thing):
    return thing


def broken(*args):
    raise KeyError(BAD)


PRE = {
    "pre-raises": broken,
    "flow-unknown": lambda flow: flow.add_decorator("nonsense"),
    "flow-attribute": lambda flow: flow.add_decorator("project:nonsense=1"),
    "flow-kwargs": lambda flow: flow.add_decorator(project, deco_kwargs={"nonsense": 1}),
    "flow-positional": lambda flow: flow.add_decorator(project, deco_args=["x"]),
    "flow-twice": lambda flow: [
        print(flow.add_decorator("project:name=a") is None),
        print(flow.add_decorator("project:name=b") is None),
    ],
    "flow-twice-error": lambda flow: [
        flow.add_decorator("project:name=a"),
        flow.add_decorator("project:name=b", duplicates=MutableFlow.ERROR),
    ],
    "flow-twice-override": lambda flow: [
        flow.add_decorator("project:name=a"),
        flow.add_decorator("project:name=b", duplicates=MutableFlow.OVERRIDE),
    ],
    "flow-duplicates": lambda flow: (
        [flow.add_decorator("project:name=a") for _ in "ab"] and flow.add_decorator("project:name=b", duplicates=17)
    ),
    "flow-step-decorator": lambda flow: flow.add_decorator(retry),
    "flow-number": lambda flow: flow.add_decorator(5),
    "parameter-again": lambda flow: flow.add_parameter("kept", Parameter("kept", default=9)),
    "parameter-over": lambda flow: flow.add_parameter("kept", Parameter("kept", default=9), overwrite=True),
    "parameter-value": lambda flow: flow.add_parameter("added", 5),
    "parameter-config": lambda flow: flow.add_parameter("added", Config("added", default_value={})),
    "parameter-step": lambda flow: flow.add_parameter("start", Parameter("start", default=1)),
    "parameter-reserved": lambda flow: flow.add_parameter("added", Parameter("tags", default=1)),
    "parameter-remove": lambda flow: print(flow.remove_parameter("kept"), flow.remove_parameter("kept")),
    "parameter-remove-by-attribute": lambda flow: print(flow.remove_parameter("attribute")),
    "decorator-remove": lambda flow: print(flow.remove_decorator("schedule"), flow.remove_decorator("project")),
    "absent": lambda flow: flow.absent,
    "absent-step": lambda flow: flow.nowhere.add_decorator(retry),
    "step-unknown": lambda flow: flow.start.add_decorator("nonsense"),
    "step-attribute": lambda flow: flow.start.add_decorator("retry:nonsense=1"),
    "step-kwargs": lambda flow: flow.start.add_decorator(retry, deco_kwargs={"nonsense": 1}),
    "step-both": lambda flow: flow.start.add_decorator("retry:times=1", deco_kwargs={"times": 2}),
    "step-positional": lambda flow: flow.start.add_decorator(retry, deco_args=[1]),
    "step-flow-decorator": lambda flow: flow.start.add_decorator(project),
    "step-number": lambda flow: flow.start.add_decorator(5),
    "step-twice": lambda flow: [
        print(flow.end.add_decorator("retry:times=1") is None, flow.end.add_decorator("retry:times=2") is None)
    ],
    "step-twice-error": lambda flow: [
        flow.end.add_decorator("environment:vars={}"),
        flow.end.add_decorator(environment, deco_kwargs={"vars": {"A": "1"}}, duplicates=MutableStep.ERROR),
    ],
    "step-twice-override": lambda flow: [
        flow.end.add_decorator(environment, deco_kwargs={"vars": {"A": "0"}}),
        flow.end.add_decorator(environment, deco_kwargs={"vars": {"A": "1"}}, duplicates=MutableStep.OVERRIDE),
    ],
    "step-remove": lambda flow: print(flow.start.remove_decorator("retry"), flow.start.remove_decorator("nonsense")),
    "specs": lambda flow: print(
        sorted((name, sorted(kwargs.items(), key=repr)) for name, _, _, kwargs in flow.start.decorator_specs),
        flow.start.has_decorator("retry"),
        flow.has_decorator("schedule"),
        [name for name, _, _, _ in flow.decorator_specs],
        [name for name, _ in flow.parameters],
        sorted(name for name, _ in flow.steps),
    ),
}
LATE = {
    "mutate-raises": broken,
    "late-parameter": lambda flow: flow.add_parameter("added", Parameter("added", default=1)),
    "late-remove-parameter": lambda flow: flow.remove_parameter("kept"),
    "late-flow": lambda flow: flow.add_decorator("project:name=a"),
    "late-remove-flow": lambda flow: flow.remove_decorator("schedule"),
    "late-step": lambda flow: flow.end.add_decorator(environment, deco_kwargs={"vars": {"A": "late"}}),
    "late-step-remove": lambda flow: print(flow.start.remove_decorator("retry")),
}


class Changes(FlowMutator):
    """Does what BAD says."""

    def init(self, *args, **kwargs):
        if BAD == "init-raises":
            broken()

    def pre_mutate(self, mutable_flow):
        PRE.get(BAD, nothing)(mutable_flow)

    def mutate(self, mutable_flow):
        LATE.get(BAD, nothing)(mutable_flow)


class NoArguments(FlowMutator):
    """Has no init."""


class OfStep(StepMutator):
    """Does what BAD says, to a step."""

    def init(self, *args, **kwargs):
        if BAD == "of-step-init":
            broken()

    def pre_mutate(self, mutable_step):
        {
            "of-step-pre": broken,
            "of-step-unknown": lambda step: step.add_decorator("nonsense"),
            "of-step-flow": lambda step: step.flow.add_parameter("added", Parameter("added", default=4)),
        }.get(BAD, nothing)(mutable_step)

    def mutate(self, mutable_step):
        {
            "of-step-mutate": broken,
            "of-step-late": lambda step: step.add_decorator("environment:vars={}"),
            "of-step-late-flow": lambda step: step.flow.add_parameter("added", Parameter("added", default=4)),
        }.get(BAD, nothing)(mutable_step)


@user_step_decorator
def around(step_name, flow, inputs, attributes=None):
    print("before", step_name, attributes)
    if BAD == "around-raises":
        broken()
    if BAD == "around-returns":
        return
    if BAD == "around-returns-dict":
        return {}
    if BAD == "around-yields-number":
        yield 5
    elif BAD == "around-catches":
        try:
            yield
        except ValueError as error:
            print("caught", error)
    elif BAD == "around-no-yield":
        if False:
            yield
    else:
        yield
    if BAD == "around-twice":
        yield
    if BAD == "around-raises-after":
        broken()
    print("after", flow.done)


@user_step_decorator
def bare(step_name, flow, inputs):
    yield
    print("bare after")


class Made(UserStepDecorator):
    """Does what BAD says, around a step."""

    def init(self, *args, **kwargs):
        if BAD == "made-init":
            broken()

    def pre_step(self, step_name, flow, inputs=None):
        if BAD == "made-pre":
            broken()
        if BAD == "made-pre-number":
            return 5
        return None

    def post_step(self, step_name, flow, exception=None):
        if BAD == "made-post":
            broken()
        if BAD == "made-post-number":
            return 5
        if BAD == "made-post-text":
            return "text"
        return exception


ON_STEP = {
    "mutator-on-step": lambda: Changes,
    "bare-arguments": lambda: bare(x=1),
    "bare-positional": lambda: bare(1),
    "around-arguments": lambda: around(x=1),
}
ON_FLOW = {
    "of-step-on-flow": lambda: OfStep,
    "around-on-flow": lambda: around,
    "no-arguments": lambda: NoArguments(1),
    "no-arguments-named": lambda: NoArguments(a=1),
}


def wrappers(function):
    if BAD in ON_STEP:
        return ON_STEP[BAD]()(function)
    if BAD.startswith("around"):
        return around(function)
    if BAD.startswith("made"):
        return Made(function)
    return function


@ON_FLOW.get(BAD, lambda: nothing)()
@Changes
@schedule(daily=True)
class WrongMutators(FlowSpec):
    """Mutators and user decorators that do wrong things."""

    kept = Parameter("kept", default=1)
    attribute = Parameter("named", default=2)

    @wrappers
    @(OfStep if BAD.startswith("of-step-") and BAD != "of-step-on-flow" else nothing)
    @retry(times=1, minutes_between_retries=0)
    @step
    def start(self):
        print("begun", getattr(self, "kept", None))
        self.done = 1
        if BAD == "around-catches":
            raise ValueError("in the step")
        self.next(self.end)

    @step
    def end(self):
        print(os.environ.get("A"), getattr(self, "added", None), getattr(self, "attribute", None))


if __name__ == "__main__":
    WrongMutators()
