"""Switches of the interpreter and of libraries that a task may turn: put back before the next task of the process.

What is put back is the state in which imports left a switch. Where the task itself imported the library, that is its
state right after the import (``imported``). A switch that was not turned costs a comparison of two values.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # without enumerations, which take ten times as long
import contextlib
import contextvars
import gc
import operator
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from headrace.worker.log_handlers import Loggers

T = TypeVar("T")

_SIGNALS = (
    *(signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE),
    *(signal.SIGWINCH, signal.SIGVTALRM, signal.SIGPROF),
)


class _Switch(msgspec.Struct, frozen=True):
    """``read`` gives what is compared by ``is_equal``, ``write`` puts back what ``keep`` (default: ``read``) made."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    keep: Callable[[], Any] | None = None
    is_equal: Callable[[Any, Any], Any] = operator.eq


# --- the interpreter ----------------------------------------------------------------------------------------------


def _read_interpreter() -> tuple[Any, ...]:
    return (
        sys.getrecursionlimit(),
        sys.getswitchinterval(),
        sys.get_int_max_str_digits(),
        sys.gettrace(),
        sys.getprofile(),
        gc.get_threshold(),
        gc.isenabled(),
        time.tzname,
        sys.excepthook,
        sys.displayhook,
        sys.unraisablehook,
        threading.excepthook,
        warnings.showwarning,
        _signal.pthread_sigmask(signal.SIG_BLOCK, ()),
        *map(_signal.getsignal, _SIGNALS),
    )


def _hook(owner: Any, name: str) -> Callable[[Any], None]:
    return lambda hook: setattr(owner, name, hook)


#: What puts back the values that ``_read_interpreter`` gives before the signals, in their order.
_WRITERS: tuple[Callable[[Any], object], ...] = (
    sys.setrecursionlimit,
    sys.setswitchinterval,
    sys.set_int_max_str_digits,
    sys.settrace,
    sys.setprofile,
    lambda threshold: gc.set_threshold(*threshold),
    lambda on: gc.enable() if on else gc.disable(),
    lambda _: time.tzset(),  # the variable TZ is put back by others
    _hook(sys, "excepthook"),
    _hook(sys, "displayhook"),
    _hook(sys, "unraisablehook"),
    _hook(threading, "excepthook"),
    _hook(warnings, "showwarning"),
    lambda mask: signal.pthread_sigmask(signal.SIG_SETMASK, mask),
)


def _write_interpreter(state: tuple[Any, ...]) -> None:
    for timer in (signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):  # nothing comes of them without a handler
        signal.setitimer(timer, 0)
    now = _read_interpreter()
    count = len(_WRITERS)
    for write, old, new in zip(_WRITERS, state, now, strict=False):
        if old != new:
            write(old)
    for number, handler in zip(_SIGNALS, state[count:], strict=True):
        if handler is not None:
            signal.signal(number, handler)


# --- libraries ----------------------------------------------------------------------------------------------------


def _module(name: str) -> Any:
    return sys.modules[name]


def _socket() -> _Switch:
    return _Switch(_module("socket").getdefaulttimeout, _module("socket").setdefaulttimeout)


def _locale() -> _Switch:
    locale = _module("locale")
    return _Switch(lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value))


def _numpy() -> _Switch | None:
    numpy = _module("numpy")
    if tuple(map(int, numpy.__version__.split(".")[:2])) >= (2, 2):
        return None  # kept in context variables

    def write(state: Any) -> None:
        errors, printing = state
        numpy.seterr(**errors)
        numpy.set_printoptions(**{key: value for key, value in printing.items() if key != "override_repr"})

    return _Switch(lambda: (numpy.geterr(), numpy.get_printoptions()), write)


def _matplotlib() -> _Switch:
    settings = _module("matplotlib").rcParams

    def write(state: Any) -> None:
        backend = dict.get(settings, "backend")  # found out when pyplot is imported
        dict.update(settings, state)
        dict.__setitem__(settings, "backend", backend)
        state["backend"] = backend

    return _Switch(lambda: settings, write, lambda: dict(dict.items(settings)), dict.__eq__)


def _pandas() -> _Switch:
    pandas: Any = _module("pandas")
    from importlib import import_module

    config: Any = import_module("pandas._config.config")

    def write(state: Any) -> None:
        for key in config._registered_options:
            before, now = state, config._global_config
            for part in key.split("."):
                before, now = before[part], now[part]
            if before != now:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    pandas.set_option(key, before)

    import copy

    return _Switch(lambda: config._global_config, write, lambda: copy.deepcopy(config._global_config))


def _sklearn() -> _Switch:
    sklearn = _module("sklearn")
    return _Switch(sklearn.get_config, lambda state: sklearn.set_config(**state))


def _torch() -> _Switch:
    torch = _module("torch")

    def write(state: Any) -> None:
        dtype, grad, deterministic = state
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.use_deterministic_algorithms(deterministic)

    return _Switch(
        lambda: (
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        ),
        write,
    )


_LIBRARIES: dict[str, Callable[[], _Switch | None]] = {
    "socket": _socket,
    "locale": _locale,
    "numpy": _numpy,
    "matplotlib": _matplotlib,
    "pandas": _pandas,
    "sklearn": _sklearn,
    "torch": _torch,
}
#: Modules that are to be reported to ``Switches.imported``.
WATCHED = frozenset(_LIBRARIES) - {"socket"}


class Switches:
    """All of them, as they are now; with ``begin`` before each attempt and ``restore`` after it."""

    def __init__(self) -> None:
        self._switches: dict[str, tuple[_Switch, Any]] = {}
        self._modules = 0
        self._filters = warnings.filters[:]
        self._loggers = Loggers()
        self._figures: tuple[Any, ...] = ()
        self._decimal: Any = None
        self._add("", _Switch(_read_interpreter, _write_interpreter))

    def begin(self) -> None:
        """Take in the libraries that are new."""
        if len(sys.modules) != self._modules:
            self._modules = len(sys.modules)
            for name in _LIBRARIES:
                self.imported(name)
            self._figures = tuple(_figures())
        self._loggers.begin()

    def imported(self, name: str) -> None:
        """``name`` was imported; what its switches are now, they are to be again."""
        if name in _LIBRARIES and name in sys.modules and name not in self._switches:
            with contextlib.suppress(Exception):  # a version that has it elsewhere
                switch = _LIBRARIES[name]()
                if switch is not None:
                    self._add(name, switch)

    def _add(self, name: str, switch: _Switch) -> None:
        self._switches[name] = (switch, (switch.keep or switch.read)())

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function`` with context variables of its own."""
        return contextvars.copy_context().run(self._in_context, function, args)

    def _in_context(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        decimal: Any = sys.modules.get("decimal")
        if decimal is not None:
            if self._decimal is None:
                self._decimal = decimal.getcontext().copy()
            decimal.setcontext(self._decimal.copy())
        return function(*args)

    def restore_loggers(self) -> bool:
        """Put back what the task changed in loggers; whether there was anything."""
        return self._loggers.restore(len(sys.modules) != self._modules)

    def restore(self) -> None:
        """Put back what the task turned, but for loggers."""
        handler: Any = sys.modules.get("faulthandler")
        if handler is not None:
            handler.cancel_dump_traceback_later()
        for switch, state in self._switches.values():
            if not switch.is_equal(switch.read(), state):
                with contextlib.suppress(Exception):
                    switch.write(state)
        self._restore_filters(len(sys.modules) != self._modules)
        self._close_figures()

    def _restore_filters(self, has_imported: bool) -> None:
        """Of those that came with an import, what libraries add stays: filters of one message, module or own class."""
        if warnings.filters == self._filters:
            return
        if has_imported:
            self._filters = [one for one in warnings.filters if one in self._filters or _is_narrow(one)]
        warnings.filters[:] = self._filters  # type: ignore[index]
        with contextlib.suppress(AttributeError):
            warnings._filters_mutated()  # type: ignore[attr-defined]

    def _close_figures(self) -> None:
        for number in _figures():
            if number not in self._figures:
                sys.modules["matplotlib._pylab_helpers"].Gcf.destroy(number)


def _is_narrow(one: Any) -> bool:
    _, message, category, module, _ = one
    return message is not None or module is not None or category.__module__ != "builtins"


def _figures() -> list[Any]:
    """The figures that pyplot knows."""
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    return list(helpers.Gcf.figs) if helpers is not None and hasattr(helpers, "Gcf") else []
