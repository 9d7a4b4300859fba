"""Asking values of users what they are, without asking their ``__getattr__``.

Dot dictionaries, mocks, proxies and RPC stubs answer every name, raise what they like for one, or keep it. Python looks
special methods up on the class; so does Headrace.
"""

from __future__ import annotations

from typing import Any


def on_type(value: object, name: str) -> Any:
    """The attribute ``name`` of the class of ``value``, unbound, as Python finds special methods; None without one."""
    for kind in type(value).__mro__:
        if name in kind.__dict__:
            return kind.__dict__[name]
    return None


def own(value: object, name: str, default: Any = None) -> Any:
    """The attribute ``name`` of ``value`` where its class defines it or its ``__dict__`` holds it, else ``default``."""
    for kind in type(value).__mro__:
        if name in kind.__dict__:
            return getattr(value, name, default)
    return instance_dict(value).get(name, default)


def instance_dict(value: object) -> dict[str, Any]:
    """What is kept in the ``__dict__`` of ``value``; empty where it has none."""
    try:
        found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:  # slots
        return {}
    return found
