"""Opens the stores that settings name."""

from __future__ import annotations

from pathlib import Path

from headrace._base.ownership import SHARED_MODE, make_folder
from headrace.settings import HOME, Settings
from headrace.stores.artifacts.protocol import ArtifactStore


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


def artifacts_folder(settings: Settings) -> Path:
    """The folder of artifacts where these are files."""
    return Path(settings.artifacts or Path(settings.home, "artifacts"))


def code_cache(settings: Settings) -> str:
    """The folder for code packages that are run from here."""
    return str(Path(settings.home, "code"))


def open_artifacts(settings: Settings) -> ArtifactStore:
    """The artifact store that ``settings`` name."""
    place = settings.artifacts or str(artifacts_folder(settings))
    from headrace.stores.artifacts.local import LocalStore

    if "://" not in place:
        return LocalStore(place, durable=settings.durability == "fsync", shared=settings.shared)
    from headrace.stores.artifacts.cached import CachedStore
    from headrace.stores.artifacts.objects import ObjectStore

    # Kept here too, so that workers map large blobs instead of holding copies.
    return CachedStore(ObjectStore(place), LocalStore(Path(settings.home) / "cache"))
