"""What Headrace says of its own doings: records of Python's ``logging`` below the logger ``headrace``.

Each record has a stable *action* (``store.away``), a text, and fields such as ``run``, ``task``, ``worker`` and
``seconds``. Programs that use Headrace find warnings by their own handlers of ``logging``, and the others once they
give the logger ``headrace`` a level. Nothing else is shown unless it is asked for: ``configure`` writes them to
standard error, as lines to read or as JSON.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from headrace._base.redaction import redact

if TYPE_CHECKING:
    import logging

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40
FORMS = ("text", "json")
LEVELS = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR}
#: Values that must not be shown, whatever they look like.
secret_values: Callable[[], Iterable[str]] = lambda: ()  # noqa: E731

_ROOT = "headrace"
_configured: tuple[str, str] | None = None
_handler: logging.Handler | None = None


class Log:
    """The logger ``headrace.AREA``. Costs nothing to make, and little to call where no handler listens.

    ``logging`` is not imported for it: as long as nothing else has done so, there are no handlers.
    """

    __slots__ = ("_name",)

    def __init__(self, area: str) -> None:
        self._name = f"{_ROOT}.{area}"

    def debug(self, action: str, text: str, **fields: object) -> None:
        """Say what helps to find a defect."""
        self._say(DEBUG, action, text, fields)

    def info(self, action: str, text: str, **fields: object) -> None:
        """Say what an operator wants to follow."""
        self._say(INFO, action, text, fields)

    def warning(self, action: str, text: str, **fields: object) -> None:
        """Say what went wrong and was dealt with."""
        self._say(WARNING, action, text, fields)

    def error(self, action: str, text: str, **fields: object) -> None:
        """Say what went wrong and stays so."""
        self._say(ERROR, action, text, fields)

    def _say(self, level: int, action: str, text: str, fields: Mapping[str, object]) -> None:
        logging = sys.modules.get("logging")
        if logging is None or not hasattr(logging, "NullHandler"):  # half imported, by another thread
            return
        root = logging.getLogger(_ROOT)
        if not root.handlers:  # else ``logging`` prints warnings that no handler takes
            root.addHandler(logging.NullHandler())
        if not root.level:  # a program that shows its own records of level INFO did not ask for these
            root.setLevel(WARNING)
        logger = logging.getLogger(self._name)
        if logger.isEnabledFor(level):
            hidden = tuple(secret_values())
            shown = {name: _shown(one, hidden) if isinstance(one, str) else one for name, one in fields.items()}
            logger.log(level, "%s", _shown(text, hidden), extra={"action": action, "fields": shown}, stacklevel=3)


def _shown(text: str, hidden: tuple[str, ...]) -> str:
    """``text`` as any stream takes it, without secrets."""
    return redact(text, hidden).encode("utf-8", "backslashreplace").decode()


def configure(form: str, level: str = "") -> None:
    """Write records of ``level`` and above (``info`` if empty) to standard error; an empty ``form`` changes nothing.

    Args:
        form: ``text`` or ``json``.
        level: ``debug``, ``info``, ``warning`` or ``error``.
    """
    global _configured, _handler
    level = level or "info"
    if not form or _configured == (form, level):
        return
    import logging

    root = logging.getLogger(_ROOT)
    if _handler is not None:
        root.removeHandler(_handler)
    try:
        stream = os.dup(2)  # workers that are forked have another standard error: that of their task
    except OSError:
        return
    _handler = _made(stream, as_json if form == "json" else as_text)
    root.addHandler(_handler)
    root.setLevel(LEVELS[level])
    root.propagate = False  # a handler of the program's own would show each record a second time
    _configured = (form, level)


def _made(stream: int, line: Callable[[logging.LogRecord], str]) -> logging.Handler:
    import logging

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            with contextlib.suppress(OSError):  # its reader is gone
                os.write(stream, (line(record) + "\n").encode("utf-8", "backslashreplace"))

        def close(self) -> None:
            with contextlib.suppress(OSError):
                os.close(stream)
            super().close()

    return Lines()


def as_text(record: logging.LogRecord) -> str:
    """A record as a line for people."""
    import time

    moment = time.strftime("%H:%M:%S", time.localtime(record.created))
    fields = "".join([f" {name}={_plain(one)}" for name, one in _fields(record).items()])
    head = f"{moment}.{int(record.msecs):03d} {record.levelname.lower():7} {_action(record)}"
    return f"{head}: {record.getMessage()}{fields}".replace("\n", "\\n")


def as_json(record: logging.LogRecord) -> str:
    """A record as one JSON object."""
    import datetime

    import msgspec

    moment = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
    whole: dict[str, object] = {
        "time": moment.isoformat(timespec="microseconds"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "action": _action(record),
        "text": record.getMessage(),
        "pid": record.process,
    }
    for name, one in _fields(record).items():
        whole[name] = one if isinstance(one, int | float | str | None) else str(one)
    return msgspec.json.encode(whole).decode()


def _action(record: logging.LogRecord) -> str:
    return str(getattr(record, "action", record.name))


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return dict(getattr(record, "fields", {}))


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    text = str(value)
    return repr(text) if " " in text or not text else text
