from metaflow import FlowSpec, conda, current, kubernetes, pypi, schedule, step, trigger_on_finish  # noqa: F401


@schedule(cron="0 1 * * *", timezone="Europe/London")
@trigger_on_finish(flows=["Linear", "Single"])
class Finished(FlowSpec):
    """Started by other flows, when deployed."""

    @pypi(packages={"nothing-at-all": "1.0"})
    @step
    def start(self):
        print(current.get("trigger"))
        self.next(self.end)

    @conda(packages={"nothing-at-all": "1.0"})
    @step
    def end(self):
        pass


if __name__ == "__main__":
    Finished()
