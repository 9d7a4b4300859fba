"""Opens the stores that settings name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from headrace._base.ownership import SHARED_MODE, make_folder
from headrace.settings import HOME, Settings, chosen_server_token, database_file
from headrace.stores.artifacts.protocol import ArtifactStore
from headrace.stores.metadata.protocol import MetadataStore


def make_home(settings: Settings) -> None:
    """Make the home: for this user alone unless ``shared``, and so that git leaves it alone where its place was not
    chosen."""
    home = Path(settings.home)
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        if home.exists():
            return
        make_folder(str(home), SHARED_MODE if settings.shared else 0o700)
        if home.name == HOME:
            (home / ".gitignore").write_text("*\n")
    except FileExistsError:
        pass  # the usual case; whose it is was looked at when the settings were read
    except OSError:
        pass  # the stores will say why it cannot be


def open_metadata_of(settings: Settings, token: Callable[[str], str] = chosen_server_token) -> MetadataStore:
    """The metadata store that ``settings`` name; of all projects, but behind a server.

    ``token`` gives what proves to a server who asks.

    Raises:
        StoreAwayError: it does not answer.
        StoreError: it cannot be opened.
    """
    if settings.server:
        from headrace.stores.http_client import Endpoint
        from headrace.stores.metadata.http import HttpMetadata

        store = HttpMetadata(Endpoint(settings.server, lambda: token(settings.server)))
        store.hasty().check()
        return store
    from headrace.stores.metadata.open import open_metadata

    file = database_file(settings)
    if file is not None and file.is_relative_to(settings.home):
        make_home(settings)
    return open_metadata(settings.database if file is None else str(file), durability=settings.durability)


def project_of(whole: MetadataStore, settings: Settings, project: str) -> MetadataStore:
    """Runs of one project: what belongs to another is not there. A server keeps the wall itself."""
    if settings.server:
        from headrace.stores.metadata.http import HttpMetadata

        assert isinstance(whole, HttpMetadata)
        return whole.of_project(project)
    from headrace.stores.metadata.project import ProjectStore

    return ProjectStore(whole, project)


def artifacts_folder(settings: Settings) -> Path:
    """The folder of artifacts where these are files."""
    return Path(settings.artifacts or Path(settings.home, "artifacts"))


def code_cache(settings: Settings) -> str:
    """The folder for code packages that are run from here."""
    return str(Path(settings.home, "code"))


def open_artifacts(settings: Settings, token: Callable[[str], str] = chosen_server_token) -> ArtifactStore:
    """The artifact store that ``settings`` name; ``token`` gives what proves to a server who asks."""
    place = settings.artifacts or str(artifacts_folder(settings))
    from headrace.stores.artifacts.local import LocalStore

    if settings.server:
        from headrace.stores.artifacts.cached import CachedStore
        from headrace.stores.artifacts.http import HttpArtifacts
        from headrace.stores.http_client import Endpoint

        endpoint = Endpoint(settings.server, lambda: token(settings.server))
        return CachedStore(HttpArtifacts(endpoint), LocalStore(Path(settings.home) / "cache"))
    if "://" not in place:
        return LocalStore(place, durable=settings.durability == "fsync", shared=settings.shared)
    from headrace.stores.artifacts.cached import CachedStore
    from headrace.stores.artifacts.objects import ObjectStore

    # Kept here too, so that workers map large blobs instead of holding copies.
    return CachedStore(ObjectStore(place), LocalStore(Path(settings.home) / "cache"))
