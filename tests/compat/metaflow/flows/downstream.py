"""A flow that is started by the end of another, tried with ``--trigger``."""

from metaflow import FlowSpec, current, step, trigger_on_finish


@trigger_on_finish(flow="Upstream")
class Downstream(FlowSpec):
    @step
    def start(self):
        trigger = current.get("trigger")
        self.triggered = trigger is not None
        if trigger:
            print(trigger.run.parent.id, len(trigger.runs), trigger.run["end"].task.data.value, trigger.event.type)
            print(trigger.event.name, trigger.event.id == trigger.run.end_task.pathspec, len(trigger.events))
            print("Upstream" in trigger, "Other" in trigger, trigger["Upstream"].id == trigger.run.id)
            print([one.type for one in trigger], trigger.event._fields, type(trigger.event.timestamp).__name__)
            self.value = trigger.run.data.value
        self.next(self.end)

    @step
    def end(self):
        print("trigger" in current)


if __name__ == "__main__":
    Downstream()
