from metaflow import FlowSpec, Parameter, exit_hook, step


def note(text):
    with open("hooks.txt", "a") as file:
        file.write(f"{text}\n")


def raises():
    note("raises")
    raise ValueError("a hook of its own")


def leaves(run):
    note("leaves")
    raise SystemExit(3)


def after(run):
    note(f"after {run.finished} {sorted(step.id for step in run)} {sorted(run.user_tags)}")


@exit_hook(on_success=[raises, leaves, after], on_error=[raises, leaves, after])
class HookedBadly(FlowSpec):
    """Hooks that fail do not change how the run ended, nor keep the others from being called."""

    how = Parameter("how", default="")

    @step
    def start(self):
        self.next(self.middle)

    @step
    def middle(self):
        if self.how == "raise":
            raise ValueError("as asked")
        self.next(self.end)

    @step
    def end(self):
        print("end")


if __name__ == "__main__":
    HookedBadly()
