"""``current.card``: the components of a step's cards, and which card is meant when none is named."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, ValuesView
from typing import Any

from headrace.frontends.metaflow.cards.base import (
    MetaflowCard,
    MetaflowCardComponent,
    StubComponent,
    UserComponent,
    Warn,
    new_component_id,
)
from headrace.frontends.metaflow.cards.errors import ComponentOverwriteNotSupportedException
from headrace.frontends.metaflow.cards.parts import SectionComponent, WarningComponent
from headrace.frontends.metaflow.settings import from_conf

#: What ids and types of cards may be.
CARD_WORD = re.compile(r"^[a-zA-Z0-9_]+$")


class Components:
    """The components of one card in their order; each can be had by its id."""

    def __init__(self, warn: Warn, card_type: str, card_id: str | None) -> None:
        self._warn = warn
        self._card = (card_id, card_type)
        self._by_id: dict[str, MetaflowCardComponent] = {}
        self.changed = time.time()

    def _store(self, component: Any, component_id: str | None) -> None:
        if not isinstance(component, MetaflowCardComponent):
            self._warn(f"[@card WARNING] {component!r} is not a MetaflowCardComponent; it is not put on the card")
            return
        if component_id is not None:
            component.component_id = component_id
        key = component.component_id
        if key is None:
            key = component.component_id = new_component_id(component)
        component._warn = self._warn
        self._by_id[key] = component
        self.changed = time.time()

    def append(self, component: Any, id: str | None = None) -> None:  # noqa: A002 - the name that flows use
        """Add a component at the end, or put it where that id is."""
        self._store(component, id)

    def extend(self, components: Iterable[Any]) -> None:
        """Add several."""
        for one in components:
            self._store(one, None)

    def clear(self) -> None:
        """Remove all."""
        self._by_id.clear()
        self.changed = time.time()

    def keys(self) -> list[str]:
        """Their ids."""
        return list(self._by_id)

    def values(self) -> ValuesView[MetaflowCardComponent]:
        """Them."""
        return self._by_id.values()

    def __iter__(self) -> Iterator[MetaflowCardComponent]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, key: object) -> bool:
        return key in self._by_id

    def __getitem__(self, key: str) -> MetaflowCardComponent:
        if key not in self._by_id:
            self._store(StubComponent(key), key)
        return self._by_id[key]

    def __setitem__(self, key: str, component: Any) -> None:
        if key in self._by_id:
            raise ComponentOverwriteNotSupportedException(key, *self._card)
        self._store(component, key)

    def __delitem__(self, key: str) -> None:
        if key not in self._by_id:
            known = ", ".join(self._by_id)
            raise KeyError(f"MetaflowCardComponent with id `{key}` not found. There are: {known}")
        del self._by_id[key]
        self.changed = time.time()

    def __str__(self) -> str:
        return f"Card components present in the card: `{'`, `'.join(self._by_id)}`"


class OneCard:
    """One card of a running step: its decorator, its type, its components. ``publish`` renders and keeps it."""

    def __init__(
        self, attributes: dict[str, Any], cls: type[MetaflowCard] | None, warn: Warn, publish: Callable[[OneCard], None]
    ) -> None:
        self.attributes = attributes
        self.cls = cls
        self.type: str = attributes["type"]
        self.uuid = uuid.uuid4().hex
        self.id: str | None = attributes["id"]
        self.customize = str(attributes["customize"]) == "True"
        self.editable = cls is not None and cls.ALLOW_USER_COMPONENTS
        self.renders = 0
        self._warn = warn
        self._publish = publish
        self._user_data: Any = None
        self._refreshed = -float("inf")
        if self.id is not None and not CARD_WORD.match(self.id):
            self._warn(
                f"[@card WARNING] The id '{self.id}' of a @card is ignored: ids consist of letters, digits and _; "
                f"there is no current.card['{self.id}']"
            )
            self.id = None
        self._components = self._empty()

    def _empty(self) -> Components:
        return Components(self._warn, self.type, self.id)

    @property
    def components(self) -> Components:
        """Its components."""
        return self._components

    def replace(self, components: list[Any]) -> None:
        """Put others in the place of all its components."""
        self._components = self._empty()
        self._components.extend(components)

    def append(self, component: Any, id: str | None = None) -> None:  # noqa: A002
        """Add a component."""
        self._components.append(component, id)

    def extend(self, components: Iterable[Any]) -> None:
        """Add several."""
        self._components.extend(components)

    def clear(self) -> None:
        """Remove all."""
        self._components.clear()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._components)

    def refresh(self, data: Any = None, force: bool = False) -> None:
        """Keep the card as it is now, for people to see; in silence not more often than the decorator allows."""
        self._user_data = data
        now = time.monotonic()
        if now - self._refreshed < float(self.attributes["refresh_interval"]):
            return
        self._refreshed = now
        if self.cls is not None and self.cls.RUNTIME_UPDATABLE:
            self.renders += 1
            self._publish(self)

    def data(self, mode: str) -> dict[str, Any]:
        """What ``render_runtime`` and ``refresh`` of a card type are given."""
        user: Any = {}
        if _is_json(self._user_data):
            user = self._user_data
        else:
            self._warn("[@card WARNING] What current.card.refresh was given cannot be written as JSON, and is ignored")
        made = {one.component_id: rendered(one) for one in self._components if one.REALTIME_UPDATABLE}
        return {
            "user": user,
            "components": {key: one for key, one in made.items() if one is not None},
            "render_seq": "final" if mode == "render" else self.renders,
            "component_update_ts": self._components.changed,
            "mode": mode,
        }

    def rendered(self) -> list[Any]:
        """Its components as dictionaries and texts; those that cannot be rendered are left out."""
        made = [one for one in map(rendered, self._components) if one is not None]
        if made and any(isinstance(one, UserComponent) for one in self._components):
            return [SectionComponent(contents=made).render()]
        return made


def rendered(component: MetaflowCardComponent) -> Any:
    """What a component renders to; None when that fails or is nothing that can be kept."""
    try:
        made = component.render()
    except Exception:  # a user's component: the card is shown without it
        return None
    return made if type(made) in (str, dict) and _is_json(made) else None


def _is_json(value: Any) -> bool:
    import json

    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


class CurrentCard:
    """``current.card``. ``append`` and its like are for the one card that can be meant without a name."""

    def __init__(self, cards: list[OneCard], warn: Warn) -> None:
        self.cards = cards
        self._warn = warn
        self._quiet = bool(from_conf("CARD_NO_WARNING", False))
        self._warned: set[str] = set()
        self._by_id: dict[str, OneCard] = {}
        self._default = self._choose()

    def _choose(self) -> OneCard | None:
        editable = [one for one in self.cards if one.editable]
        if not editable:
            return None
        self._by_id = {one.id: one for one in self.cards if one.id is not None}
        if len(editable) == 1:
            return editable[0]
        nameless = [one for one in editable if one.id is None]
        chosen = nameless[0] if len(nameless) == 1 else None
        self._drop_repeated([one.id for one in editable if one.id is not None])
        customized = [one for one in editable if one.customize]
        if len(customized) > 1:
            self._say("several @card of this step have customize=True, which is as if none had")
        return customized[0] if len(customized) == 1 else chosen

    def _drop_repeated(self, ids: list[str]) -> None:
        repeated = sorted({one for one in ids if ids.count(one) > 1})
        if repeated:
            self._say(f"several @card of this step have one id, so current.card['{repeated[0]}'] can mean none of them")
        for one in repeated:
            del self._by_id[one]

    def _say(self, text: str) -> None:
        self._warn(f"[@card WARNING] {text}")

    def _say_once(self, what: str, text: str, *, on_cards: bool) -> None:
        if what in self._warned:
            return
        self._warned.add(what)
        self._say(text)
        if on_cards and not self._quiet:
            for one in self.cards:
                one.append(WarningComponent(text))

    def _no_default(self, what: str) -> None:
        only = self.cards[0] if len(self.cards) == 1 else None
        if only is None:
            why = "this step has several cards: give them ids, and say which one, as in current.card['ID']"
        elif only.cls is None:
            why = f"there is no card type '{only.type}'"
        else:
            why = f"cards of type '{only.type}' take no components"
        self._say_once(what, f"current.card.{what} does nothing: {why}", on_cards=what != "components")

    def append(self, component: Any, id: str | None = None) -> None:  # noqa: A002
        """Add a component."""
        if self._default is None:
            self._no_default("append")
            return
        self._default.append(component, id)

    def extend(self, components: Iterable[Any]) -> None:
        """Add several."""
        if self._default is None:
            self._no_default("extend")
            return
        self._default.extend(components)

    @property
    def components(self) -> Components | None:
        """The components of the card; None when no card is meant."""
        if self._default is None:
            self._no_default("components")
            return None
        return self._default.components

    def clear(self) -> None:
        """Remove all components."""
        if self._default is not None:
            self._default.clear()

    def refresh(self, *args: Any, **kwargs: Any) -> None:
        """Keep the card as it is now; see ``OneCard.refresh``."""
        if self._default is not None:
            self._default.refresh(*args, **kwargs)

    def get(self, type: str | None = None) -> list[OneCard]:  # noqa: A002
        """The cards of a type."""
        return [one for one in self.cards if one.type == type]

    def __getitem__(self, key: str) -> Any:
        if key in self._by_id:
            return self._by_id[key]
        text = f"there is no current.card['{key}']: no @card of this step has id='{key}'; it stands for an empty list"
        self._say_once(f"[{key}]", text, on_cards=True)
        return []

    def __setitem__(self, key: str, components: Any) -> None:
        if key not in self._by_id:
            self._say(f"current.card['{key}'] is not set: no @card of this step has id='{key}'")
        elif not isinstance(components, list):
            self._say(
                f"current.card['{key}'] is not set: it takes a list of components, not a {type(components).__name__}"
            )
        else:
            self._by_id[key].replace(components)
