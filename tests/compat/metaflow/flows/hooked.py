from metaflow import FlowSpec, Parameter, exit_hook, step


def well():
    with open("hooks.txt", "a") as file:
        file.write("well\n")


def badly(run):
    with open("hooks.txt", "a") as file:
        file.write(f"badly {run.parent.id} {run.successful}\n")


def well_with_run(run):
    with open("hooks.txt", "a") as file:
        file.write(f"well {run.data.x}\n")


@exit_hook(on_success=[well, well_with_run], on_error=[badly])
class Hooked(FlowSpec):
    """Functions that are called when the run has ended."""

    fail = Parameter("fail", default=False)

    @step
    def start(self):
        self.x = 5
        if self.fail:
            raise ValueError("as asked")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Hooked()
