import os

from metaflow import FlowSpec, catch, environment, project, resources, retry, schedule, secrets, step, timeout, trigger

BAD = os.environ["BAD"]


def nothing(thing):
    return thing


def on_flow(thing):
    return {
        "project-no-name": lambda: project,
        "project-bad-name": lambda: project(name="has spaces"),
        "project-twice": lambda: lambda cls: project(name="a")(project(name="b")(cls)),
        "project-unknown": lambda: project(name="a", nonsense=1),
        "trigger-empty": lambda: trigger,
        "trigger-both": lambda: trigger(event="a", events=["b"]),
        "trigger-wrong": lambda: trigger(event=5),
        "schedule-unknown": lambda: schedule(monthly=True),
    }.get(BAD, lambda: nothing)()(thing)


def on_step(thing):
    return {
        "retry-many": lambda: retry(times=5),
        "retry-negative": lambda: retry(times=-1),
        "retry-text": lambda: retry(times="x"),
        "retry-unknown": lambda: retry(often=1),
        "retry-twice": lambda: lambda f: retry(times=1)(retry(times=2)(f)),
        "timeout-zero": lambda: timeout,
        "timeout-negative": lambda: timeout(seconds=-1),
        "environment-type": lambda: environment(vars=[1]),
        "environment-number": lambda: environment(vars={"A": 1}),
        "resources-text": lambda: resources(cpu="many"),
        "secrets-unknown": lambda: secrets(sources=[{"type": "nowhere", "options": {}}]),
        "secrets-wrong": lambda: secrets(sources="inline"),
        "secrets-twice": lambda: secrets(
            sources=[{"type": "inline", "id": "x", "options": {"env_vars": {"A": "1"}}} for _ in range(2)]
        ),
        "secrets-existing": lambda: secrets(
            sources=[{"type": "inline", "id": "x", "options": {"env_vars": {"HOME": "1"}}}]
        ),
        "secrets-override": lambda: secrets(
            sources=[{"type": "inline", "id": "x", "options": {"env_vars": {"USERNAME": "x"}}}], allow_override=True
        ),
    }.get(BAD, lambda: nothing)()(thing)


@on_flow
class BadFlowDecorators(FlowSpec):
    """A decorator with wrong attributes."""

    @on_step
    @step
    def start(self):
        print("ran", os.environ.get("A"), os.environ["USERNAME"])
        self.next(self.end)

    @catch(var="x") if BAD == "catch-fine" else nothing
    @step
    def end(self):
        pass


if __name__ == "__main__":
    BadFlowDecorators()
