"""The environments of one home, as sessions and commands use them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import msgspec

from headrace.model.environments import Environment, EnvironmentLock
from headrace.model.errors import EnvironmentSetupError

if TYPE_CHECKING:
    from headrace.services.environments.building import Built
    from headrace.services.environments.construction import Construction


class Environments:
    """Locks and builds environments in the folder ``cache``; ``tell`` hears, in lines for people, what takes long.

    ``named`` are those of the settings, by name; ``extra`` are requirements of workers beside those that all have;
    ``advice`` ends what is said of an environment that cannot be locked here.
    """

    def __init__(
        self,
        cache: str,
        tell: Callable[[str], None],
        named: dict[str, Environment] | None = None,
        extra: tuple[str, ...] = (),
        advice: str = "",
    ) -> None:
        self.cache = cache
        self.extra = extra
        self.named = named or {}
        self._tell = tell
        self._advice = f"\n{advice}" if advice else ""
        self._begun = threading.Lock()
        self._constructions: dict[bytes, Construction] = {}
        self._held: dict[str, int] = {}  # descriptors by folder, for as long as the process lives

    def named_as(self, environment: Environment) -> Environment:
        """``environment`` itself, or the one of the settings that it names.

        Raises:
            EnvironmentSetupError: the settings have none of that name.
        """
        if environment != Environment(name=environment.name) or not environment.name:
            return environment
        if environment.name not in self.named:
            raise EnvironmentSetupError(
                f"there is no environment {environment.name!r}; there are: {', '.join(self.named) or 'none'}. Describe "
                f"it in [tool.headrace.environments.{environment.name}] of pyproject.toml"
            )
        return self.named[environment.name]

    def known(self, environment: Environment, folder: str) -> EnvironmentLock | None:
        """The lock that was made for ``environment`` before.

        Raises:
            EnvironmentSetupError: there is no such environment, or its file cannot be read.
        """
        from headrace.services.environments import locking

        return locking.known_lock(locking.request_of(self.named_as(environment), folder), self.cache)

    def resolve(self, environment: Environment, folder: str, *, upgrade: bool = False) -> EnvironmentLock:
        """Ask uv for a new lock, and keep it for later runs.

        Raises:
            EnvironmentSetupError: it cannot be resolved.
        """
        from headrace.services.environments import locking

        found = locking.resolve(self.named_as(environment), folder, upgrade=upgrade)
        locking.keep_lock(found, self.cache)
        return found

    def lock(
        self, environment: Environment, asker: str, folder: str, recorded: Iterable[EnvironmentLock] = ()
    ) -> EnvironmentLock:
        """What ``environment`` is resolved to: as in one of ``recorded``, or as before, if the same was asked for.

        Raises:
            EnvironmentSetupError: it cannot be resolved; the message names the ``asker`` and has what uv says.
        """
        from headrace.services.environments import locking

        try:
            asked = self.named_as(environment)
            request = locking.request_of(asked, folder)
            here = [one for one in recorded if one.request == request and locking.is_of_this_platform(one)]
            found = here[-1] if here else locking.known_lock(request, self.cache)
            if found is None or not (here or self._can_be_had(found)):
                self._tell(f"resolving environment {asked.label} for {asker}")
                found = locking.resolve(asked, folder)
                locking.keep_lock(found, self.cache)
        except EnvironmentSetupError as error:
            raise EnvironmentSetupError(f"{asker}: environment {environment.label}: {error}{self._advice}") from None
        return msgspec.structs.replace(found, label=asked.label)

    def _can_be_had(self, lock: EnvironmentLock) -> bool:
        """Whether the environment is built, or the version of Python that it is locked for is still on this machine."""
        from headrace.services.environments.building import find_built
        from headrace.services.environments.interpreters import find_interpreter

        if find_built(lock, self.cache, self.extra) is not None:
            return True
        try:
            return find_interpreter(lock.program or lock.python).version == lock.python
        except EnvironmentSetupError:
            return False

    @staticmethod
    def fits(lock: EnvironmentLock) -> bool:
        """Whether ``lock`` was made for machines of this kind."""
        from headrace.services.environments.locking import is_of_this_platform

        return is_of_this_platform(lock)

    def is_there(self, lock: EnvironmentLock) -> bool:
        """Whether workers of the environment or image of ``lock`` can start; an environment is then kept for them.

        Raises:
            EnvironmentSetupError: the interpreter of the lock cannot be read.
        """
        from headrace.services.environments import building

        if lock.image:
            return building.has_runtime(lock, self.cache, self.extra)
        built = building.find_built(lock, self.cache, self.extra)
        if built is not None:
            self._hold(built)
        return built is not None

    def begin(self, lock: EnvironmentLock, asker: str) -> Construction:
        """Build in a thread what ``is_there`` looks for; those who ask for the same at that time share it."""
        from headrace.services.environments.construction import Construction

        with self._begun:
            found = self._constructions.get(lock.digest)
            if found is None or found.users <= 0 or (found.is_done() and not found.problem()):
                found = self._constructions[lock.digest] = Construction(lambda: self._make(lock, asker))
            found.users += 1
        return found

    def build_all(self, wanted: Iterable[tuple[str, EnvironmentLock]]) -> None:
        """Build the environments of several steps at once, and wait for them; ``wanted``: who asks, and the lock.

        Raises:
            EnvironmentSetupError: one cannot be built; the message names who asks for it, and has what uv says.
        """
        begun = [self.begin(lock, asker) for asker, lock in wanted if not self.is_there(lock)]
        try:
            for one in begun:
                if problem := one.wait():
                    raise EnvironmentSetupError(problem)
        finally:
            for one in begun:
                one.leave()

    def _make(self, lock: EnvironmentLock, asker: str) -> None:
        from headrace.runtime.containers.found import find_engine
        from headrace.services.environments.building import runtime_of_image

        if lock.image:
            runtime_of_image(lock, self.cache, self.extra, whole=not find_engine().mounts)
        else:
            self.build(lock, asker)

    def build(self, lock: EnvironmentLock, asker: str) -> Built:
        """The environment of ``lock`` on this machine, built unless it is there.

        Raises:
            EnvironmentSetupError: it cannot be built; the message names the ``asker`` and has what uv says.
        """
        from headrace.services.environments.building import build

        try:
            built = build(lock, self.cache, self._tell, self.extra)
        except EnvironmentSetupError as error:
            raise EnvironmentSetupError(f"{asker}: {error}") from None
        self._hold(built)
        return built

    def _hold(self, built: Built) -> None:
        from headrace.services.environments.building import hold

        if built.folder not in self._held:
            self._held[built.folder] = hold(built)
