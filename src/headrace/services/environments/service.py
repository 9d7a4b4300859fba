"""The environments of one home, as sessions and commands use them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from headrace.model.environments import Environment, EnvironmentLock
from headrace.model.errors import EnvironmentSetupError

if TYPE_CHECKING:
    from headrace.services.environments.building import Built


class Environments:
    """Locks and builds environments in the folder ``cache``; ``tell`` hears, in lines for people, what takes long.

    ``named`` are those of the settings, by name; a relative path in them starts at ``root``.
    """

    def __init__(
        self, cache: str, tell: Callable[[str], None], named: dict[str, Environment] | None = None, root: str = ""
    ) -> None:
        self.cache = cache
        self.named = named or {}
        self._tell = tell
        self._root = root
        self._locks: dict[tuple[Environment, str], EnvironmentLock] = {}

    def lock(self, environment: Environment, step: str, folder: str) -> EnvironmentLock:
        """What ``environment`` is resolved to: as before, if the same was asked for before.

        Raises:
            EnvironmentSetupError: it cannot be resolved; the message names the ``step`` and has what uv says.
        """
        found = self._locks.get((environment, folder))
        if found is None:
            from headrace.services.environments import locking

            try:
                request = locking.request_of(environment, folder)
                found = locking.known_lock(request, self.cache)
                if found is None:
                    self._tell(f"resolving environment {environment.label} of step {step}")
                    found = locking.resolve(environment, folder)
                    locking.keep_lock(found, self.cache)
            except EnvironmentSetupError as error:
                raise EnvironmentSetupError(f"step {step!r}: environment {environment.label}: {error}") from None
            found = msgspec.structs.replace(found, label=environment.label)
            self._locks[(environment, folder)] = found
        return found

    def build(self, lock: EnvironmentLock, step: str) -> Built:
        """The environment of ``lock`` on this machine, built unless it is there.

        Raises:
            EnvironmentSetupError: it cannot be built; the message names the ``step`` and has what uv says.
        """
        from headrace.services.environments.building import build

        try:
            return build(lock, self.cache, self._tell)
        except EnvironmentSetupError as error:
            raise EnvironmentSetupError(f"step {step!r}: {error}") from None
