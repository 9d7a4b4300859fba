"""What a use case works on: the stores, the project in them, and the actor who asks."""

from __future__ import annotations

import msgspec

from headrace.model.actors import Actor
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore


class Stores(msgspec.Struct, frozen=True):
    """Where a session reads and writes, which project it belongs to, and who started it."""

    metadata: MetadataStore
    artifacts: ArtifactStore
    project: str = "default"
    actor: Actor = Actor()
