from metaflow import FlowSpec, card, current, step
from metaflow.cards import Artifact, Markdown, MetaflowCardComponent, ProgressBar, Table


class Plain(MetaflowCardComponent):
    def render(self):
        return "plain"


class Broken(MetaflowCardComponent):
    def render(self):
        raise ValueError("cannot")


def told(what):
    """What a call gives or raises, by the name of its class."""
    try:
        return what()
    except Exception as error:
        return type(error).__name__


class Carded(FlowSpec):
    """Cards of all kinds, and all that ``current.card`` can do."""

    @step
    def start(self):
        self.next(
            self.none, self.one, self.typed, self.several, self.same, self.chosen, self.chosen_twice, self.strange
        )

    @step
    def none(self):
        print("card" in current, told(lambda: current.card))
        self.next(self.join)

    @card
    @step
    def one(self):
        current.card.append(Markdown("# text"))
        current.card.append("no component")
        current.card.append(ProgressBar(max=3), id="bar")
        current.card.components["bar"].update(2)
        current.card.components["absent"].update(2)
        current.card.components["table"] = Table([["a"]])
        print(told(lambda: current.card.components.__setitem__("table", Table([["a"]]))))
        print("table" in current.card.components, "nothing" in current.card.components, len(current.card.components))
        del current.card.components["table"]
        print(told(lambda: current.card.components.__delitem__("table")))
        print([type(one).__name__ for one in current.card.components])
        current.card["unknown"].append(Markdown("nowhere"))
        current.card["unknown"] = [Markdown("nowhere")]
        print(current.card["unknown"], len(current.card.get(type="default")), current.card.get(type="other"))
        current.card.extend([Markdown("a"), Plain(), Broken()])
        self.next(self.join)

    @card(type="blank", id="white", options={"title": "White"})
    @step
    def typed(self):
        current.card.append(Markdown("by default"))
        current.card["white"].append(Markdown("by id"))
        current.card["white"] = [Markdown("instead"), Artifact(1)]
        print(len(current.card.components))
        current.card["white"] = "no list"
        current.card.clear()
        print(len(current.card.components))
        self.next(self.join)

    @card(id="a")
    @card(id="b")
    @step
    def several(self):
        current.card.append(Markdown("to which"))
        current.card.extend([Markdown("to which")])
        current.card["a"].append(Markdown("to a"))
        print(len(current.card["a"].components), len(current.card["b"].components))
        self.next(self.join)

    @card(id="same")
    @card(id="same")
    @card(type="blank")
    @step
    def same(self):
        current.card.append(Markdown("to the blank one"))
        print(len(current.card.components), current.card["same"])
        self.next(self.join)

    @card(id="a")
    @card(id="b", customize=True)
    @step
    def chosen(self):
        current.card.append(Markdown("to b"))
        print(len(current.card["a"].components), len(current.card["b"].components))
        self.next(self.join)

    @card(customize=True, id="x")
    @card(customize=True, id="y")
    @step
    def chosen_twice(self):
        current.card.append(Markdown("to none"))
        self.next(self.join)

    @card(type="unknown")
    @card(id="not a word!")
    @card(type="taskspec_card")
    @card(type="odd type")
    @card(type="nothing", save_errors=False)
    @step
    def strange(self):
        current.card.append(Markdown("to the one with a wrong id"))
        print(len(current.card.components))
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @card
    @step
    def end(self):
        print(type(current.card).__name__ != "", current.get("card") is not None)


if __name__ == "__main__":
    Carded()
