"""Tags of runs. A system tag ``user:ann`` is the Headrace tag ``user=ann``; a tag of the user's has no value."""

from __future__ import annotations

import sys
import time
from typing import Any, NamedTuple

from headrace.frontends.metaflow.exceptions import MetaflowTaggingError
from headrace.frontends.metaflow.version import VERSION
from headrace.model.actors import Actor
from headrace.model.records import RunRecord, Tag
from headrace.services.control import requested
from headrace.stores.metadata.protocol import MetadataStore, Untag, Write

MAX_USER_TAGS = 50
MAX_TAG = 500
#: Names of the tags that say where a run comes from.
SYSTEM = frozenset(
    {"user", "runtime", "python_version", "metaflow_version", "project", "project_branch", "production", "date"}
)
#: The tag of a run that was made by ``resume``; its value is the number of the run it went on from.
RESUMED = "resumed_from"
#: The tag of a run that came from a store of Metaflow; its value is that store.
IMPORTED = "imported_from"
#: The tag of a spun task's run; its value is the task whose inputs were taken. The other one says what was not kept.
SPUN = "spun_from"
SPUN_WITHOUT = "spun_without"


class RunTags(NamedTuple):
    """The tags of a run; ``origin`` is the run that it took over, or empty; ``is_bare``: it kept no artifacts."""

    user: frozenset[str]
    system: frozenset[str]
    origin: str
    is_bare: bool = False

    @property
    def all(self) -> frozenset[str]:
        """Those of users and system."""
        return self.user | self.system


def tags_of(metadata: MetadataStore, run_id: int) -> RunTags:
    """The tags of a run as they are now."""
    return tags_of_runs(metadata, [run_id])[run_id]


def tags_of_runs(metadata: MetadataStore, run_ids: list[int]) -> dict[int, RunTags]:
    """The tags of runs by their ids."""
    found: dict[int, list[Tag]] = {run_id: [] for run_id in run_ids}
    for tag in metadata.tags(run_ids):
        found[tag.run_id].append(tag)
    return {run_id: _sorted(tags) for run_id, tags in found.items()}


def _sorted(tags: list[Tag]) -> RunTags:
    user, system, origin, is_bare = set(), set(), "", False
    for tag in tags:
        if tag.name == RESUMED:
            origin = tag.value
        elif tag.name == IMPORTED:
            continue
        elif tag.name in (SPUN, SPUN_WITHOUT):
            is_bare = is_bare or tag.name == SPUN_WITHOUT
        elif tag.value and tag.name in SYSTEM:
            system.add(f"{tag.name}:{tag.value}")
        else:
            user.add(f"{tag.name}={tag.value}" if tag.value else tag.name)
    return RunTags(frozenset(user), frozenset(system), origin, is_bare)


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
        MetaflowTaggingError: one is not a text, is empty or too long.
    """
    for tag in tags:
        if not isinstance(tag, str):
            raise MetaflowTaggingError(f"Tags must be strings, not {tag!r}")
        if not tag or len(tag) > MAX_TAG:
            raise MetaflowTaggingError(f"Tags must have 1 to {MAX_TAG} characters, which {tag[:40]!r} has not")
        try:
            tag.encode()
        except UnicodeEncodeError:
            raise MetaflowTaggingError("Tags must be valid UTF-8") from None
    return list(dict.fromkeys(tags))


def validate_tag(tag: Any) -> None:
    """Refuse what can be no tag; bytes are taken for UTF-8.

    Raises:
        MetaflowTaggingError: it can be none.
    """
    if isinstance(tag, bytes):
        try:
            tag = tag.decode()
        except UnicodeDecodeError:
            raise MetaflowTaggingError("Tags must be valid UTF-8") from None
    check_tags([tag])


def validate_tags(tags: Any, existing_tags: Any = None) -> None:
    """Refuse tags of which one can be none, and more than a run may have, unless it has as many already.

    Raises:
        MetaflowTaggingError: so it is.
    """
    several = frozenset(tags)
    if existing_tags is None or len(frozenset(existing_tags)) < len(several):
        check_count(len(several))
    for tag in several:
        validate_tag(tag)


def check_count(tags: int) -> None:
    """Refuse more tags than a run may have.

    Raises:
        MetaflowTaggingError: there are too many.
    """
    if tags > MAX_USER_TAGS:
        raise MetaflowTaggingError(f"Cannot set more than {MAX_USER_TAGS} user tags on a run; that would be {tags}")


def change_tags(metadata: MetadataStore, run: RunRecord, add: Any, remove: Any, actor: Actor) -> None:
    """Remove tags of a run, then add others, all or nothing, for ``actor``.

    Raises:
        MetaflowTaggingError: a tag cannot be added or removed, or there is nothing to do.
    """
    adding, removing = _tag_list("add", add), _tag_list("remove", remove)
    if not adding and not removing:
        raise MetaflowTaggingError("Must add or remove at least one tag")
    run_id, now = run.id, time.time()
    have = tags_of(metadata, run_id)
    adding = [tag for tag in check_tags(adding) if tag not in have.system]
    system = sorted(set(check_tags(removing)) & have.system)
    if system:
        raise MetaflowTaggingError(f"Cannot remove system tags: {', '.join(system)}")
    after = (have.user - set(removing)) | set(adding)
    if len(after) > len(have.user):  # a run that has too many already may still change them
        check_count(len(after))
    writes: list[Write] = [Untag(run_id, tag) for tag in removing if tag in have.user]
    writes += [requested(run, actor, "untag", write.name, now) for write in writes if isinstance(write, Untag)]
    for tag in adding:
        writes += [Tag(run_id, tag), requested(run, actor, "tag", tag, now)]
    if writes:
        metadata.commit(writes)


def _tag_list(what: str, tags: Any) -> list[Any]:
    if isinstance(tags, (str, bytes)):
        raise MetaflowTaggingError(f"tags_to_{what} may not be a string: give a list of tags")
    try:
        return list(tags or ())
    except TypeError:
        raise MetaflowTaggingError(f"tags_to_{what} must be a list of tags, not {tags!r}") from None
