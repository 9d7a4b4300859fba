import os

from metaflow import FlowSpec, step


def stranger(self):
    pass


class WrongNext(FlowSpec):
    """Calls self.next() wrongly before it calls it rightly: what is raised at that moment?"""

    @step
    def start(self):
        self.items = [1, 2]
        self.word = "a"
        self.number = 3
        self.nothing = None
        self.empty = []
        self.gone_at_once = iter([])
        self.wrong(os.environ["BAD"])
        print("came through")
        self.next(self.middle)

    def wrong(self, kind):
        to = self.middle
        {
            "text": lambda: self.next("middle"),
            "none": lambda: self.next(None),
            "step-and-text": lambda: self.next(to, "end"),
            "list": lambda: self.next([to]),
            "stranger": lambda: self.next(stranger),
            "class-function": lambda: self.next(WrongNext.middle),
            "no-step": lambda: self.next(self.helper),
            "dict": lambda: self.next({"a": to, "b": self.end}),
            "dict-empty": lambda: self.next({}, condition="word"),
            "dict-twice": lambda: self.next({"a": to}, {"b": to}, condition="word"),
            "condition-alone": lambda: self.next(to, condition="word"),
            "condition-number": lambda: self.next({"a": to}, condition=5),
            "condition-absent": lambda: self.next({"a": to}, condition="absent"),
            "condition-foreach": lambda: self.next({"a": to}, condition="word", foreach="items"),
            "condition-other": lambda: self.next({"b": to}, condition="word"),
            "condition-number-as-text": lambda: self.next({"3": to}, condition="number"),
            "condition-none": lambda: self.next({"a": to}, condition="nothing"),
            "condition-list": lambda: self.next({"a": to}, condition="items"),
            "case-text": lambda: self.next({"a": "middle"}, condition="word"),
            "case-no-step": lambda: self.next({"a": self.helper}, condition="word"),
            "foreach-number": lambda: self.next(to, foreach=5),
            "foreach-list": lambda: self.next(to, foreach=[1]),
            "foreach-empty-text": lambda: self.next(to, foreach=""),
            "foreach-absent": lambda: self.next(to, foreach="absent"),
            "foreach-none": lambda: self.next(to, foreach="nothing"),
            "foreach-of-number": lambda: self.next(to, foreach="number"),
            "foreach-of-empty": lambda: self.next(to, foreach="empty"),
            "foreach-of-spent": lambda: self.next(to, foreach="gone_at_once"),
            "foreach-two": lambda: self.next(to, self.end, foreach="items"),
            "foreach-nowhere": lambda: self.next(foreach="items"),
            "parallel-two": lambda: self.next(to, self.end, num_parallel=2),
            "parallel-text": lambda: self.next(to, num_parallel="2"),
            "keyword": lambda: self.next(to, nonsense=1),
            "keyword-first": lambda: self.next("x", nonsense=1),
            "twice": lambda: [self.next(to), self.next(to)],
        }[kind]()

    def helper(self):
        pass

    @step
    def middle(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    WrongNext()
