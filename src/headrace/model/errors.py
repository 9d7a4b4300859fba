"""Every error Headrace raises, under one root.

The type says whose fault it is and whether trying again can help: ``UsageError`` is the caller's, ``StoreError``
the environment's, ``TaskError`` the fate of one task. Messages name the thing, what is wrong with it, and what to
do next.
"""

from __future__ import annotations


class HeadraceError(Exception):
    """Root of all errors of this package."""


# --- the caller's -----------------------------------------------------------------------------------------------


class UsageError(HeadraceError):
    """The request itself is wrong; nothing was started. The command line exits with 2."""


class ParameterError(UsageError):
    """A flow parameter is unknown, missing or ill-typed."""


class DefinitionError(UsageError):
    """A flow, step or policy is declared in a way that cannot work."""


class FlowLoadError(UsageError):
    """A file holds no flow, several flows, or cannot be imported."""


class CodePackageError(UsageError):
    """A file that belongs to the code of a run cannot be kept with it; the message names the file and what to do."""


class MissingSecretError(UsageError):
    """The value of a secret is not here; the message says where it was looked for."""


class NotFoundError(UsageError):
    """A run, task or artifact of that name does not exist."""


class ResourceError(UsageError):
    """A step asks for more than any worker here can have."""


class CallError(HeadraceError, TypeError):
    """A call does not fit its step's function; in the words that Python itself would use."""


class NotStorableError(HeadraceError, TypeError):
    """A value cannot be written down; the message names the attribute that is to blame."""


class NotLoadableError(HeadraceError):
    """A stored value needs code or packages that this process cannot import; the message names them."""


# --- the environment's ------------------------------------------------------------------------------------------


class EnvironmentSetupError(HeadraceError):
    """The environment of a step cannot be resolved or built: a package, an interpreter, uv or room is missing."""


class StoreError(HeadraceError):
    """A metadata or artifact store cannot do its work."""


class StoreAwayError(StoreError):
    """The store does not answer now: locked by another process, restarting, out of reach. The same again may work."""


class StoreReadOnlyError(StoreError):
    """The store cannot be written to."""


class StoreFullError(StoreError):
    """No space left where the store lives."""


class StoreDamagedError(StoreError):
    """The database cannot be read as one of Headrace."""


class StoreVersionError(StoreError):
    """The store was written by a newer Headrace, or needs a migration that cannot be done here."""


class BlobError(StoreError):
    """A blob cannot be had; ``digest`` says which."""

    def __init__(self, message: str, digest: bytes = b"") -> None:
        super().__init__(message)
        self.digest = digest


class BlobMissingError(BlobError):
    """A blob that a manifest names is not in the store."""


class BlobCorruptError(BlobError):
    """A blob's bytes are not those its name promises."""


# --- ownership --------------------------------------------------------------------------------------------------


class LeaseLostError(HeadraceError):
    """Another process owns this now; whatever the old owner wanted to write was refused."""


class RunBusyError(UsageError):
    """The run is being driven by another live process."""


# --- the fate of a task -----------------------------------------------------------------------------------------


class TaskError(HeadraceError):
    """A task failed for a reason that is not an exception of the user's own code."""


class TaskTimeoutError(TaskError, TimeoutError):
    """An attempt ran longer than its step allows and was killed."""


class TaskOutOfMemoryError(TaskError, MemoryError):
    """An attempt ran out of memory, or past the memory that its step asked for."""


class TaskCrashedError(TaskError):
    """The worker died under an attempt: a segmentation fault, ``os._exit``, or a signal from outside."""


class CommandError(TaskError):
    """A command did not do what its step says: its exit code, an input or an output is wrong, or it cannot be run."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return type(self), (str(self), self.exit_code)


class CommandRefusedError(CommandError):
    """A command ended with an exit code that its step maps to failure: no other attempt follows."""


class TaskCancelledError(TaskError):
    """The task was cancelled before it finished."""


class UpstreamFailedError(TaskError):
    """A task this one depends on failed, so it never started."""


class RunFailedError(HeadraceError):
    """Raised where the result of a run is asked for that has none; carries the run's error text."""


class RemoteTraceback(Exception):
    """The traceback of an exception as it was in the worker; set as ``__cause__`` of the exception."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        return "\n" + self.text


# People meet these in tracebacks, catch them, and name them in a Retry by the name of the package, which exports them.
for _public in (
    CallError,
    CommandError,
    CommandRefusedError,
    DefinitionError,
    EnvironmentSetupError,
    FlowLoadError,
    HeadraceError,
    NotFoundError,
    NotLoadableError,
    MissingSecretError,
    NotStorableError,
    ParameterError,
    RemoteTraceback,
    ResourceError,
    RunBusyError,
    RunFailedError,
    StoreError,
    TaskCancelledError,
    TaskCrashedError,
    TaskError,
    TaskOutOfMemoryError,
    TaskTimeoutError,
    UpstreamFailedError,
    UsageError,
):
    _public.__module__ = __name__.partition(".")[0]
