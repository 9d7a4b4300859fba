"""What can be wrong with cards."""

from __future__ import annotations

from headrace.frontends.metaflow.exceptions import MetaflowException


class CardClassFoundException(MetaflowException):
    """There is no card type of that name."""

    headline = "MetaflowCard not found"

    def __init__(self, card_name: str) -> None:
        super().__init__(f"MetaflowCard named {card_name} not found. Check the `type` attribute in @card")


class CardNotPresentException(MetaflowException):
    """A task has no card such as is asked for."""

    headline = "Card not found in datastore"

    def __init__(
        self, pathspec: str, card_type: str | None = None, card_hash: str | None = None, card_id: str | None = None
    ) -> None:
        asked = (("hash", card_hash), ("type", card_type), ("id", card_id))
        what = next((f" with {name} '{value}'" for name, value in asked if value is not None), "")
        hint = " A hash is given in full, or by its first characters." if card_hash is not None else ""
        if not what:
            hint = " Tasks have cards whose step has @card, or that ran with `run --with card`."
        super().__init__(f"Card{what} not found for pathspec {pathspec}.{hint}")


class TaskNotFoundException(MetaflowException):
    """The task whose cards are wanted does not exist."""

    headline = "Cannot resolve task for pathspec"


class IncorrectCardArgsException(MetaflowException):
    """A card type does not take the options it is given."""

    headline = "Incorrect arguments to @card decorator"

    def __init__(self, card_type: str, args: object) -> None:
        super().__init__(f"Card of type {card_type} cannot support arguments {args}")


class UnrenderableCardException(MetaflowException):
    """A card type raised instead of giving a page."""

    headline = "Unable to render @card"

    def __init__(self, card_type: str, args: object, trace: str) -> None:
        super().__init__(
            f"Card of type {card_type} is unable to be rendered with arguments {args}.\nStack trace : {trace}"
        )


class IncorrectArgumentException(MetaflowException):
    """``get_cards`` was given neither a task nor a pathspec."""

    headline = "`get_cards` function requires a `Task` object or pathspec as an argument"

    def __init__(self, obj_type: object) -> None:
        super().__init__(f"{self.headline}. `task` argument cannot be of type {obj_type}.")


class IncorrectPathspecException(MetaflowException):
    """``get_cards`` was given a text that is not a pathspec of a task."""

    headline = "Pathspec is required of form `flowname/runid/stepname/taskid`"

    def __init__(self, pthspec: str) -> None:
        super().__init__(f"Pathspec {pthspec} is invalid. {self.headline}")


class ComponentOverwriteNotSupportedException(MetaflowException):
    """A component with that id is on the card already."""

    headline = "Component overwrite is not supported"

    def __init__(self, component_id: str, card_id: str | None, card_type: str) -> None:
        card = f"@card(type='{card_type}', id='{card_id}')" if card_id else f"@card(type='{card_type}')"
        super().__init__(f"{card} has a component with id {component_id} already; update it, or clear the card first.")
