"""What all cards and components have in common.

A component's ``render`` gives a dictionary with a ``type``, or a text; ``html`` turns these into a page. The form of
the dictionaries is what card types of users work with, so it is that of Metaflow.
"""

from __future__ import annotations

import functools
import json
import uuid
from collections.abc import Callable
from typing import Any

#: Tells of a problem with a card; on the task's stderr while it runs.
Warn = Callable[[str], None]


class MetaflowCardComponent:
    """The base of all components: ``render`` gives a dictionary or a text, ``update`` changes what it shows."""

    #: Whether it may change while its task runs.
    REALTIME_UPDATABLE = False
    _component_id: str | None = None
    _warn: Warn | None = None

    @property
    def component_id(self) -> str | None:
        """What ``current.card.components[ID]`` finds it by.

        Raises:
            TypeError: it is set to something else than a text.
        """
        return self._component_id

    @component_id.setter
    def component_id(self, value: Any) -> None:
        if not isinstance(value, str):
            raise TypeError("Component ID must be a string")
        self._component_id = value

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change what it shows, as its class allows."""
        raise NotImplementedError

    def render(self) -> Any:
        """A dictionary with a ``type``, or a text."""
        raise NotImplementedError


def new_component_id(component: Any) -> str:
    """An id for a component that was given none."""
    return f"{type(component).__name__.lower()}_{uuid.uuid4().hex[:6]}"


def failed(name: str, text: str) -> dict[str, Any]:
    """What stands in the place of a component that cannot be rendered."""
    return {"type": "log", "data": f"Render failed of component named `{name}`\n\n{text}"}


def safely(render: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A ``render`` that gives the component an id and never raises: what went wrong is shown in its place."""

    @functools.wraps(render)
    def call(self: Any) -> Any:
        if self.component_id is None:
            self.component_id = new_component_id(self)
        name = type(self).__name__
        try:
            made = render(self)
            if type(made) not in (str, dict):
                return failed(name, "Component render didn't return a `string` or `dict`")
            json.dumps(made)
        except Exception as error:
            import traceback

            return failed(name, "".join(traceback.format_exception(error)))
        return made

    return call


class UserComponent(MetaflowCardComponent):
    """The base of what steps put on cards. An ``update`` that cannot be done warns, once."""

    _warned = False

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Warn that this kind cannot be changed."""
        self._complain(f"{type(self).__name__} has no `update`: it stays as it is")

    def _complain(self, text: str) -> None:
        if self._warn is not None and not self._warned:
            self._warn(f"[@card-component WARNING] {text}")
            self._warned = True


class StubComponent(UserComponent):
    """Stands for a component that was asked for by its id and does not exist; it is not shown."""

    def __init__(self, component_id: str) -> None:
        self._absent = component_id

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Warn that there is no such component."""
        self._complain(f"There is no component with the id {self._absent} to update")


class MetaflowCard:
    """The base of card types. A subclass sets ``type`` and gives the page in ``render(task)``.

    ``render_runtime(task, data)`` gives the page while the task runs, for types that are ``RUNTIME_UPDATABLE``.
    """

    RELOAD_POLICY_NEVER = "never"
    RELOAD_POLICY_ALWAYS = "always"
    RELOAD_POLICY_ONCHANGE = "onchange"
    RELOAD_POLICY_TOKEN = "[METAFLOW_RELOAD_TOKEN]"

    type: str | None = None
    ALLOW_USER_COMPONENTS = False
    RUNTIME_UPDATABLE = False
    RELOAD_POLICY = RELOAD_POLICY_NEVER
    scope = "task"
    runtime_data: Any = None

    def __init__(self, options: Any = None, components: Any = None, graph: Any = None, flow: Any = None) -> None:
        pass

    def _get_mustache(self) -> Any:
        from headrace.frontends.metaflow.cards import mustache

        return mustache

    def render(self, task: Any) -> Any:
        """The page of a finished task, as HTML."""
        return NotImplementedError()

    def render_runtime(self, task: Any, data: Any) -> Any:
        """The page of a task that is running."""
        raise NotImplementedError

    def refresh(self, task: Any, data: Any) -> Any:
        """Data for a page that changes itself."""
        raise NotImplementedError

    def reload_content_token(self, task: Any, data: Any) -> str:
        """Differs when a page must be loaded again, for ``RELOAD_POLICY_ONCHANGE``."""
        return "content-token"
