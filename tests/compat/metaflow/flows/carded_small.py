import os

from metaflow import FlowSpec, card, current, step
from metaflow.cards import Markdown


class CardedSmall(FlowSpec):
    """A few cards, to call commands on; a step fails while the file ``broken`` is there."""

    @step
    def start(self):
        self.next(self.work)

    @card
    @card(type="blank", id="note")
    @step
    def work(self):
        current.card["note"].append(Markdown("# Note"))
        self.next(self.none)

    @step
    def none(self):
        if os.path.exists("broken"):
            os.remove("broken")
            raise ValueError("broken")
        self.next(self.end)

    @card
    @step
    def end(self):
        pass


if __name__ == "__main__":
    CardedSmall()
