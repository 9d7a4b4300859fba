"""Where the secrets of steps come from: the environment, files, the keyring of the system.

``@step(secrets=["HF_TOKEN"])`` names them. Values are looked for before a run starts, handed to the workers, and kept
nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from headrace.model.errors import MissingSecretError, UsageError
from headrace.runtime.secrets import variable_of

#: The service under which the keyring keeps values that are looked for by name alone.
SERVICE = "headrace"


class SecretSources:
    """The places where values are looked for, in this order.

    1. Variables of ``environ``: the one that ``runtime.secrets.variable_of`` says, and the one of that name.
    2. ``references``, the table ``[tool.headrace.secrets]`` of ``project_file``: ``env:VARIABLE``, ``file:PATH`` or
       ``keyring:SERVICE/USER`` by name, and no values, because such a file is shared.
    3. ``user_file``, of the user alone: values or such references by name.
    4. The keyring, by the service ``headrace`` and the name, where the library ``keyring`` is installed.
    """

    def __init__(
        self, environ: Mapping[str, str], references: Mapping[str, object], project_file: Path | None, user_file: Path
    ) -> None:
        self._environ = environ
        self._references = references
        self._project_file = project_file
        self._user_file = user_file
        self._of_user: Mapping[str, object] | None = None

    def values(self, wanted: Mapping[str, Sequence[str]]) -> dict[str, str]:
        """The values of the secrets that steps name, by name; ``wanted``: names by step.

        Raises:
            MissingSecretError: some are nowhere; the message names secret, step and where it was looked for.
            UsageError: a file of secrets is not what it must be.
        """
        steps: dict[str, list[str]] = {}
        for step, names in wanted.items():
            for name in names:
                steps.setdefault(name, []).append(repr(step))
        found: dict[str, str] = {}
        missing: list[str] = []
        for name, users in steps.items():
            value, looked = self._find(name)
            if value:
                found[name] = value
            else:
                who = f"step {users[0]} needs" if len(users) == 1 else f"steps {', '.join(users)} need"
                missing.append(f"{who} the secret {name}, which is not in {', '.join(looked)}")
        if missing:
            raise MissingSecretError(
                "; ".join(missing) + ". Set one of these variables, or write the value into the file of your own"
            )
        return found

    def _find(self, name: str) -> tuple[str, list[str]]:
        looked = [f"the variables {variable_of(name)} and {name}"]
        value = self._environ.get(variable_of(name)) or self._environ.get(name)
        if value:
            return value, looked
        if self._project_file is not None and name in self._references:
            place = f"[tool.headrace.secrets] of {self._project_file}"
            value, where = self._refer(name, self._references[name], place, self._project_file.parent)
            if not where:
                raise UsageError(
                    f"{place}: {name} holds a value, but the file is shared with the code; write 'env:VARIABLE', "
                    f"'file:PATH' or 'keyring:SERVICE/USER', and the value into {self._user_file}"
                )
            looked.append(f"{where} ({place})")
            if value:
                return value, looked
        looked.append(str(self._user_file))
        given = self._user_table().get(name)
        if given is not None:
            value, _ = self._refer(name, given, str(self._user_file), self._user_file.parent)
            if value:
                return value, looked
        value, where = _of_keyring(SERVICE, name)
        return value, [*looked, where]

    def _refer(self, name: str, given: object, place: str, folder: Path) -> tuple[str, str]:
        """A value, and the place that a reference names; no place: it is the value itself."""
        if not isinstance(given, str):
            raise UsageError(f"{place}: {name} is not a text")
        kind, _, rest = given.partition(":")
        if kind == "env" and rest:
            return self._environ.get(rest, ""), given
        if kind == "file" and rest:
            return _of_file(folder / Path(rest).expanduser()), given
        if kind == "keyring" and rest:
            service, _, user = rest.rpartition("/")
            return _of_keyring(service or SERVICE, user)[0], given
        return given, ""

    def _user_table(self) -> Mapping[str, object]:
        if self._of_user is None:
            self._of_user = _read_own(self._user_file)
        return self._of_user


def _read_own(file: Path) -> Mapping[str, object]:
    """The table of a file that no other user may read."""
    try:
        status = file.stat()
    except OSError:  # mostly there is none
        return {}
    if status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise UsageError(f"{file} holds secrets, and others may read it; make it yours alone: chmod 600 {file}")
    import tomllib

    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is not valid TOML: {error}") from None


def _of_file(path: Path) -> str:
    try:
        return path.read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError):
        return ""


def _of_keyring(service: str, user: str) -> tuple[str, str]:
    try:
        import keyring
    except ImportError:
        return "", "the keyring (the package keyring is not installed)"
    try:
        return keyring.get_password(service, user) or "", f"the keyring (service {service})"
    except Exception as error:  # of its backends, whatever they are
        # The first sentence is enough: others tell how to install a backend.
        return "", f"the keyring ({type(error).__name__}: {str(error).partition('. ')[0]})"
