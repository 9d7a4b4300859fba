"""The secrets that the steps of a flow name: looked for before its run starts, sent to workers at the first call."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from headrace._base.attributes import own
from headrace._base.usercode import is_user_module
from headrace.frontends.native.signature import unwrapped
from headrace.frontends.native.steps import Step
from headrace.runtime import secrets
from headrace.services.session import Session

if TYPE_CHECKING:
    from headrace.services.secret_sources import SecretSources

#: Functions that are looked at for steps that a flow calls through them.
_MOST = 1_000


class NamedSecrets:
    """The secrets of the steps of one run, looked for in ``sources``."""

    def __init__(self, sources: SecretSources) -> None:
        self._sources = sources
        self._found: dict[str, str] = {}
        self._shared: set[str] = set()

    def look_for(self, flow: Any) -> None:
        """Find the values that the steps of ``flow`` need, as far as its code names them.

        Raises:
            MissingSecretError: some are nowhere.
        """
        wanted = {step.name: step.policy.secrets for step in steps_of(flow) if step.policy.secrets}
        self._take(wanted)

    @property
    def names(self) -> tuple[str, ...]:
        """Those that were found so far."""
        return tuple(sorted(self._found))

    def share(self, step: Step[..., Any], session: Session) -> None:
        """Let the workers of ``session`` have the secrets of ``step``, before its next task.

        Raises:
            MissingSecretError: some are nowhere.
        """
        new = [name for name in step.policy.secrets if name not in self._shared]
        if new:
            self._take({step.name: new})
            session.share_secrets({secrets.of_step(name): self._found[name] for name in new})
            self._shared.update(new)

    def _take(self, wanted: dict[str, Any]) -> None:
        missing = {step: [name for name in names if name not in self._found] for step, names in wanted.items()}
        found = self._sources.values(missing)
        self._found |= found
        secrets.known_values.update(found.values())


def steps_of(flow: Any) -> Iterator[Step[..., Any]]:
    """The steps that the code of ``flow`` names, in it or in functions of the user's that it calls."""
    stack: list[Any] = [unwrapped(flow.__wrapped__)]
    seen: set[int] = set()
    while stack and len(seen) < _MOST:
        function = stack.pop()
        if id(function) in seen or not isinstance(function, FunctionType):
            continue
        seen.add(id(function))
        for value in _named(function):
            if isinstance(value, Step):
                if id(value) not in seen:
                    seen.add(id(value))
                    yield value
            elif own(value, "__headrace_flow__", False):
                stack.append(unwrapped(value.__wrapped__))
            elif isinstance(value, FunctionType) and is_user_module(value.__module__ or ""):
                stack.append(value)


def _named(function: FunctionType) -> Iterator[Any]:
    """What the names in the code of ``function`` are bound to: globals, attributes of modules, closure."""
    names: set[str] = set()
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        names.update(code.co_names)
        codes += [one for one in code.co_consts if isinstance(one, CodeType)]
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not bound yet
            continue
    for name in names & function.__globals__.keys():
        value = function.__globals__[name]
        yield value
        if isinstance(value, ModuleType) and is_user_module(value.__name__):
            yield from (vars(value)[one] for one in names & vars(value).keys())
