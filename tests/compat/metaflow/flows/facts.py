"""Tasks of all kinds for ``ask_facts.py``: with cards, in a foreach, retried, caught, failed at first."""

import os

from metaflow import FlowSpec, card, catch, current, environment, resources, retry, step, timeout


class Facts(FlowSpec):
    @step
    def start(self):
        self.items = ["u", "v"]
        self.next(self.carded, self.retried)

    @card(id="mine")
    @card(type="blank")
    @step
    def carded(self):
        self.next(self.each, foreach="items")

    @timeout(seconds=600)
    @resources(cpu=1)
    @environment(vars={"A": "1"})
    @step
    def each(self):
        self.next(self.gather)

    @step
    def gather(self, inputs):
        self.next(self.join)

    @retry(times=2, minutes_between_retries=0)
    @step
    def retried(self):
        if current.retry_count < 1:
            raise ValueError("once")
        self.next(self.caught)

    @catch(var="problem")
    @step
    def caught(self):
        self.problem = "none"
        if self.items:
            raise ValueError("caught")
        self.next(self.join)

    @step
    def join(self, inputs):
        if not os.path.exists("touched"):
            raise ValueError("not yet")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Facts()
