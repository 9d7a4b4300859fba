"""How a component fails."""

from __future__ import annotations

from headrace.model.errors import HeadraceError


class ComponentFailedError(HeadraceError):
    """A component ended with an exit code other than 0, or did not write what it promises."""
