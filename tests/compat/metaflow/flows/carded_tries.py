from metaflow import FlowSpec, Parameter, card, catch, current, retry, step
from metaflow.cards import Markdown, Table


class CardedTries(FlowSpec):
    """Cards of tasks that fail, are tried again, are caught; ``refresh`` keeps a card of what fails afterwards."""

    how = Parameter("how", default="retry")
    refresh = Parameter("refresh", default=False, type=bool)

    @step
    def start(self):
        self.next(self.tried)

    @card
    @retry(times=1, minutes_between_retries=0)
    @step
    def tried(self):
        current.card.append(Markdown(f"attempt {current.retry_count}"))
        if self.refresh:
            current.card.refresh()
        if current.retry_count == 0:
            raise ValueError("the first time")
        self.next(self.caught)

    @card(type="blank", id="safe")
    @catch(var="oops", print_exception=False)
    @step
    def caught(self):
        current.card.append(Markdown("before"))
        if self.how == "caught":
            raise ValueError("caught")
        self.next(self.fails)

    @card(refresh_interval=0)
    @step
    def fails(self):
        for number in range(3):
            current.card.append(Table([[number]]))
            if self.refresh:
                current.card.refresh({"number": number})
        self.next(self.end)

    @card
    @step
    def end(self):
        if self.how == "end":
            raise ValueError("in the end")


if __name__ == "__main__":
    CardedTries()
