"""How users mark runs: pinned, archived, named, to be deleted. Listings leave out what is archived or to be deleted."""

from __future__ import annotations

import msgspec

from headrace.model.actors import Actor
from headrace.model.errors import RunBusyError, UsageError
from headrace.model.records import RunFlags, RunRecord, Tag
from headrace.services.control import check_removable, requested
from headrace.stores.metadata.protocol import MetadataStore, RunFilter, Untag

#: What listings want where nothing else is asked for: see ``RunFilter.marks``.
LISTED = ("!archived", "!deleted")
#: The tag whose value is what people call a run.
NAME_TAG = "name"
#: Seconds in which a run that was deleted can be restored.
UNDO_SECONDS = 30.0
_LONGEST_NAME = 200


def flags_of(metadata: MetadataStore, run: RunRecord) -> RunFlags:
    """The marks of a run."""
    found = metadata.flags([run.id])
    return found[0] if found else RunFlags(run.id)


def pin(metadata: MetadataStore, run: RunRecord, actor: Actor, now: float, *, on: bool = True) -> None:
    """Keep ``run`` from garbage collection and deletion, or no longer."""
    _mark(
        metadata, run, msgspec.structs.replace(flags_of(metadata, run), pinned=on), "pin" if on else "unpin", actor, now
    )


def archive(metadata: MetadataStore, run: RunRecord, actor: Actor, now: float, *, on: bool = True) -> None:
    """Leave ``run`` out of listings, or no longer."""
    flags = msgspec.structs.replace(flags_of(metadata, run), archived=on)
    _mark(metadata, run, flags, "archive" if on else "unarchive", actor, now)


def rename(metadata: MetadataStore, run: RunRecord, name: str, actor: Actor, now: float) -> None:
    """Give ``run`` a name for people, the value of its tag ``name``; an empty one takes it away.

    Raises:
        UsageError: it is too long, or more than a line.
    """
    name = name.strip()
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise UsageError(f"the name of a run is one line of at most {_LONGEST_NAME} characters")
    row = Tag(run.id, NAME_TAG, name) if name else Untag(run.id, NAME_TAG)
    metadata.commit([row, requested(run, actor, "rename", name, now)])


def delete_soon(
    metadata: MetadataStore, run: RunRecord, actor: Actor, now: float, seconds: float = UNDO_SECONDS
) -> float:
    """Delete ``run`` in so many seconds; returns when, in seconds since the epoch. Until then it can be restored.

    Raises:
        RunBusyError: it is running.
        UsageError: it is pinned.
    """
    check_removable(metadata, run)
    flags = flags_of(metadata, run)
    until = flags.deleted if flags.deleted is not None else now + seconds
    _mark(metadata, run, msgspec.structs.replace(flags, deleted=until), "delete", actor, now)
    return until


def restore(metadata: MetadataStore, run: RunRecord, actor: Actor, now: float) -> None:
    """Take back the deletion of ``run``; nothing happens if it is not to be deleted."""
    flags = flags_of(metadata, run)
    if flags.deleted is not None:
        _mark(metadata, run, msgspec.structs.replace(flags, deleted=None), "restore", actor, now)


def purge(metadata: MetadataStore, now: float) -> list[str]:
    """Delete the runs whose time to be restored is over, for good; returns their names.

    Several processes may do this at once.
    """
    gone = []
    for run in metadata.runs(RunFilter(marks=("deleted",))):
        until = flags_of(metadata, run).deleted
        if until is None or until > now:
            continue
        try:
            check_removable(metadata, run)
        except (RunBusyError, UsageError):  # it was resumed or pinned meanwhile, by somebody who wants it
            continue
        metadata.delete_run(run.id)
        gone.append(run.name)
    return gone


def _mark(metadata: MetadataStore, run: RunRecord, flags: RunFlags, action: str, actor: Actor, now: float) -> None:
    metadata.commit([flags, requested(run, actor, action, "", now)])
