import os

from metaflow import FlowSpec, schedule, step

KINDS = {
    "hourly": {"hourly": True},
    "weekly": {"weekly": True},
    "off": {"daily": False},
    "cron": {"cron": "*/5 * * * *", "timezone": "Asia/Tokyo"},
    "several": {"hourly": True, "daily": True},
    "nothing": {},
    "odd-cron": {"cron": "at tea time"},
}


@schedule(**KINDS[os.environ.get("KIND", "nothing")])
class Scheduled(FlowSpec):
    """A schedule matters when the flow is deployed, and not to a run."""

    @step
    def start(self):
        print("start")
        self.next(self.end)

    @step
    def end(self):
        self.done = True


if __name__ == "__main__":
    Scheduled()
