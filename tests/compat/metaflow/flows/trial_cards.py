"""Cards of the types that are there for trials."""

from metaflow import FlowSpec, card, current, step


class TrialCards(FlowSpec):
    @card(type="test_pathspec_card", id="where")
    @card(type="test_editable_card", id="one")
    @card(type="test_editable_card_2", id="two")
    @card(type="test_non_editable_card", id="none")
    @card(type="test_mock_card", id="mock", options={"key": "value"})
    @card(type="test_image_card", id="image")
    @card(type="test_component_refresh_card", id="shown")
    @step
    def start(self):
        from metaflow.plugins.cards.card_modules.test_cards import TestJSONComponent, TestStringComponent

        self.value = [1, "two"]
        for name in ("one", "two"):
            current.card[name].append(TestStringComponent("text of " + name))
            current.card[name].append(TestStringComponent(5))
        current.card["shown"].append(TestJSONComponent({"a": 1}))
        self.next(self.wrong)

    @card(type="test_error_card", id="error")
    @card(type="test_error_card", id="silent", save_errors=False)
    @card(type="test_timeout_card", id="late", timeout=1, options={"timeout": 20})
    @card(type="test_timeout_card", id="soon", options={"timeout": 0})
    @card(type="test_refresh_card", id="refreshed")
    @step
    def wrong(self):
        current.card["refreshed"].refresh({"k": 1})
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    TrialCards()
