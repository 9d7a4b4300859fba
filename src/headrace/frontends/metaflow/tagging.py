"""Tags of runs. A system tag ``user:ann`` is the Headrace tag ``user=ann``; a tag of the user's has no value."""

from __future__ import annotations

import sys
from typing import NamedTuple

from headrace.frontends.metaflow.exceptions import MetaflowTaggingError
from headrace.frontends.metaflow.version import VERSION
from headrace.model.records import Tag
from headrace.stores.metadata.protocol import MetadataStore, Untag, Write

MAX_USER_TAGS = 50
_MAX_TAG = 500
#: Names of the tags that say where a run comes from.
_SYSTEM = frozenset(
    {"user", "runtime", "python_version", "metaflow_version", "project", "project_branch", "production", "date"}
)
#: The tag of a run that was made by ``resume``; its value is the number of the run it went on from.
RESUMED = "resumed_from"


class RunTags(NamedTuple):
    """The tags of a run; ``origin`` is the run that it took over, or empty."""

    user: frozenset[str]
    system: frozenset[str]
    origin: str


def tags_of(metadata: MetadataStore, run_id: int) -> RunTags:
    """The tags of a run as they are now."""
    user, system, origin = set(), set(), ""
    for tag in metadata.tags([run_id]):
        if tag.name == RESUMED:
            origin = tag.value
        elif tag.value and tag.name in _SYSTEM:
            system.add(f"{tag.name}:{tag.value}")
        else:
            user.add(f"{tag.name}={tag.value}" if tag.value else tag.name)
    return RunTags(frozenset(user), frozenset(system), origin)


def system_tags(user: str, project: dict[str, object]) -> list[tuple[str, str]]:
    """The system tags of a new run."""
    tags = [
        ("user", user),
        ("runtime", "dev"),
        ("python_version", sys.version.split(maxsplit=1)[0]),
        ("metaflow_version", VERSION),
    ]
    if project:
        tags += [("project", str(project["project_name"])), ("project_branch", str(project["branch_name"]))]
    return tags


def check_tags(tags: list[str]) -> list[str]:
    """The tags without repetitions.

    Raises:
        MetaflowTaggingError: one is no text, is empty or too long.
    """
    for tag in tags:
        if not isinstance(tag, str):
            raise MetaflowTaggingError(f"Tags must be strings, not {tag!r}")
        if not tag or len(tag) > _MAX_TAG:
            raise MetaflowTaggingError(f"Tags must have 1 to {_MAX_TAG} characters, which {tag[:40]!r} has not")
        try:
            tag.encode()
        except UnicodeEncodeError:
            raise MetaflowTaggingError("Tags must be valid UTF-8") from None
    return list(dict.fromkeys(tags))


def check_count(tags: int) -> None:
    """Refuse more tags than a run may have.

    Raises:
        MetaflowTaggingError: there are too many.
    """
    if tags > MAX_USER_TAGS:
        raise MetaflowTaggingError(f"Cannot set more than {MAX_USER_TAGS} user tags on a run; that would be {tags}")


def change_tags(metadata: MetadataStore, run_id: int, add: list[str], remove: list[str]) -> None:
    """Remove tags of a run, then add others, all or nothing.

    Raises:
        MetaflowTaggingError: a tag cannot be added or removed, or there is nothing to do.
    """
    if not add and not remove:
        raise MetaflowTaggingError("Tags to add or to remove must be given")
    have = tags_of(metadata, run_id)
    adding = [tag for tag in check_tags(add) if tag not in have.system]
    system = sorted(set(remove) & have.system)
    if system:
        raise MetaflowTaggingError(f"Cannot remove system tags: {', '.join(system)}")
    check_count(len((have.user - set(remove)) | set(adding)))
    writes: list[Write] = [Untag(run_id, tag) for tag in check_tags(remove) if tag in have.user]
    writes += [Tag(run_id, tag) for tag in adding]
    if writes:
        metadata.commit(writes)
