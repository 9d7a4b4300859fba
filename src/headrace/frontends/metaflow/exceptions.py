"""Errors of the Metaflow dialect, under the names that flows catch. ``headline`` is shown above the message."""

from __future__ import annotations

import os
import re

from headrace.frontends.metaflow.names import stored

#: The exit code of a task that must not be tried again.
METAFLOW_EXIT_DISALLOW_RETRY = 202
#: That of one that may, as any other but 0 is.
METAFLOW_EXIT_ALLOW_RETRY = 203


#: Names in texts of errors stand between stars.
STARRED = re.compile(r"\*([^*\n]+)\*")


def without_stars(text: str) -> str:
    """``text`` without the stars that mark names in it."""
    return STARRED.sub(r"\1", text)


class MetaflowException(Exception):
    """Root of the dialect's errors; ``message`` is the text, ``line_no`` a line of the flow's file."""

    headline = "Flow failed"

    def __init__(self, msg: str = "", lineno: int | None = None) -> None:
        self.message = msg
        self.line_no = lineno
        super().__init__()

    def __str__(self) -> str:
        return f"line {self.line_no}: {self.message}" if self.line_no else self.message


class InvalidNextException(MetaflowException):
    """A ``self.next`` that leads nowhere."""

    headline = "Invalid self.next() transition detected"


class UnhandledInMergeArtifactsException(MetaflowException):
    """Branches disagree on artifacts; ``artifact_names`` says which."""

    headline = "Unhandled artifacts in merge"

    def __init__(self, msg: str, unhandled: list[str]) -> None:
        super().__init__(msg)
        self.artifact_names = unhandled


class MissingInMergeArtifactsException(MetaflowException):
    """``include`` of ``merge_artifacts`` names what no branch has; ``artifact_names`` says what."""

    headline = "Missing artifacts in merge"

    def __init__(self, msg: str, unhandled: list[str]) -> None:
        super().__init__(msg)
        self.artifact_names = unhandled


class MetaflowDataMissing(MetaflowException):
    """An artifact that should be there is not."""

    headline = "Data missing"


class ParameterFieldFailed(MetaflowException):
    """The function behind a parameter's default raised."""

    headline = "Parameter field failed"


class ParameterFieldTypeMismatch(MetaflowException):
    """A parameter's default is of another type than the parameter."""

    headline = "Parameter field with a mismatching type"


class ExternalCommandFailed(MetaflowException):
    """A program that was called failed."""

    headline = "External command failed"


class MetaflowNotFound(MetaflowException):
    """The named flow, run, step, task or artifact does not exist."""

    headline = "Object not found"


class MetaflowNamespaceMismatch(MetaflowException):
    """The object exists, but in another namespace."""

    headline = "Object not in the current namespace"

    def __init__(self, namespace: str | None) -> None:
        super().__init__(f"Object not in namespace '{namespace}'")


class MetaflowObjectNotPresent(MetaflowException):
    """The object cannot be had where it is asked for."""

    headline = "Object not in the current namespace"


class MetaflowInvalidPathspec(MetaflowException):
    """A pathspec that cannot be one."""

    headline = "Invalid pathspec"


class MetaflowInternalError(MetaflowException):
    """Something that cannot happen did."""

    headline = "Internal error"


class MetaflowUnknownUser(MetaflowException):
    """The user who runs this is not known."""

    headline = "Unknown user"


class MetaflowTaggingError(MetaflowException):
    """A tag that is not allowed, or cannot be removed."""

    headline = "Tagging error"


class CommandException(MetaflowException):
    """The command cannot do what its arguments ask for."""

    headline = "Invalid command"


class ArgoEventException(MetaflowException):
    """An event could not be sent, and ``ignore_errors=False`` was said."""

    headline = "Argo Event Exception"


class StepFailed(MetaflowException):
    """A task failed, and with it the run, whose name is ``run``; ``task`` is the one, such as ``fit/1``."""

    headline = "Step failure"

    def __init__(self, msg: str = "", run: str = "", task: str = "") -> None:
        super().__init__(msg)
        self.run, self.task = run, task


class Interrupted(KeyboardInterrupt):
    """A run was stopped, whose name is ``run``."""

    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run


class CommandUsageException(CommandException):
    """The command line is not one that can be; the exit code is 2."""

    headline = "Usage error"


class BadStepDecoratorException(MetaflowException):
    """A step decorator on something that is not a step."""

    headline = "Syntax error"

    def __init__(self, deco: str, func: object) -> None:
        name = getattr(func, "__name__", repr(func))
        super().__init__(
            f"You tried to apply decorator '{deco}' on '{name}' which is not declared as a @step. "
            f"Make sure you apply this decorator on a function which has @step on the line just before the function "
            f"name and @{deco} is above @step."
        )


class BadFlowDecoratorException(MetaflowException):
    """A flow decorator on something that is not a flow."""

    headline = "Syntax error"


class InvalidDecoratorAttribute(MetaflowException):
    """A decorator was given an attribute that it does not have."""

    headline = "Unknown decorator attribute"

    def __init__(self, deco: str, attribute: str, defaults: dict[str, object]) -> None:
        there = ", ".join(f"'{name}'" for name in defaults) or "none"
        super().__init__(
            f"Decorator '{deco}' does not support the attribute '{attribute}'. These attributes are supported: {there}."
        )


class UnknownStepDecoratorException(MetaflowException):
    """``--with`` names no step decorator."""

    headline = "Unknown step decorator"


class UnknownFlowDecoratorException(MetaflowException):
    """There is no flow decorator of that name."""

    headline = "Unknown flow decorator"


class DuplicateStepDecoratorException(MetaflowException):
    """The same decorator twice on one step."""

    headline = "Duplicate decorators"

    def __init__(self, deco: str, func: object) -> None:
        name = getattr(func, "__name__", repr(func))
        super().__init__(f"Step '{name}' already has a decorator '{deco}'. You can specify each decorator only once.")


class DuplicateFlowDecoratorException(MetaflowException):
    """The same decorator twice on one flow."""

    headline = "Duplicate decorators"


class LintWarn(MetaflowException):
    """The flow's graph cannot work; ``source_file`` is where, as a step may be of a class in another module."""

    headline = "Validity checker found an issue"

    def __init__(self, msg: str = "", lineno: int | None = None, source_file: str | None = None) -> None:
        super().__init__(msg, lineno)
        self.source_file = source_file

    def __str__(self) -> str:
        if not self.line_no or not self.source_file:
            return super().__str__()
        shown = os.path.relpath(self.source_file)
        return f"{self.source_file if shown.startswith('..') else shown}:{self.line_no}: {self.message}"


class ArtifactNotStorable(MetaflowException):
    """A step ended with an artifact that cannot be pickled."""

    headline = "Cannot store artifact"


class NotSupportedException(MetaflowException):
    """The flow uses what Headrace cannot do yet; docs/metaflow.md lists what it can."""

    headline = "Not supported"


class InvalidEnvironmentException(MetaflowException):
    """A step wants packages, but the command line does not ask for an environment that has them."""

    headline = "Incompatible environment"


class PackagesException(MetaflowException):
    """The packages or the Python that a step asks for cannot be had."""

    headline = "Ran into an error while setting up environment"


class TimeoutException(MetaflowException):
    """A step ran longer than its ``@timeout`` allows."""

    headline = "@timeout"


class FailureHandledByCatch(MetaflowException):
    """What ``@catch`` stores when the process of a step died."""

    headline = "Task execution failed but @catch handled it"

    def __init__(self, retry_count: int) -> None:
        super().__init__(
            f"Task execution kept failing over {retry_count + 1} attempts. Your code did not raise an exception. "
            "Something in the execution environment caused the failure."
        )


#: Where users know these classes to be; what is stored as text names them so.
_PUBLIC = {
    "TimeoutException": "metaflow.plugins.timeout_decorator",
    "FailureHandledByCatch": "metaflow.plugins.catch_decorator",
    "InvalidNextException": "metaflow.flowspec",
    "ArgoEventException": "metaflow.plugins.argo.argo_events",
}
#: The same for modules of Headrace that have errors of their own.
_MODULES = {"headrace.frontends.metaflow.s3.objects": "metaflow.plugins.datatools.s3.s3"}


def public_name(kind: type[BaseException]) -> str:
    """``module.Class`` as users know it."""
    if kind.__module__ == __name__:
        return f"{_PUBLIC.get(kind.__name__, 'metaflow.exception')}.{kind.__name__}"
    return f"{_MODULES.get(kind.__module__, kind.__module__)}.{kind.__name__}"


def trace_of(error: BaseException) -> str:
    """The traceback of an exception, with the dialect's own errors under the names that users know."""
    import traceback

    text, kind = "".join(traceback.format_exception(error)), type(error)
    if not isinstance(error, MetaflowException):
        return text
    return text.replace(f"{kind.__module__}.{kind.__qualname__}", public_name(kind))


@stored
class MetaflowExceptionWrapper(Exception):
    """An exception as an artifact: ``exception`` is its text, ``type`` its class by name, ``stacktrace`` where."""

    def __init__(self, exc: BaseException | None = None) -> None:
        super().__init__(exc)
        if exc is not None:
            try:
                self.exception = str(exc)
            except Exception:  # as a traceback shows it
                self.exception = "<exception str() failed>"
            self.type = public_name(type(exc))
            self.stacktrace: str | None = None
            if exc.__traceback__ is not None:
                self.stacktrace = trace_of(exc)

    def __reduce__(self) -> tuple[object, ...]:
        return MetaflowExceptionWrapper, (), self.__dict__

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__

    def __setstate__(self, state: dict[str, object] | None) -> None:
        self.__dict__ = state or {}

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return self.stacktrace or f"[no stacktrace]\n{self.type}: {self.exception}"
