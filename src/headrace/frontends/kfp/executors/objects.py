"""Artifacts at URIs (``gs://``, ``s3://``, ``minio://``, ``oci://``), fetched and put by obstore or podman."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

#: Schemes that are fetched and put, and the folders below which components see their objects.
MOUNTS = {"gs://": "/gcs/", "s3://": "/s3/", "minio://": "/minio/", "oci://": "/oci/"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_PART = 8 << 20
#: Objects of a folder that are fetched at once.
_AT_ONCE = 8


class ObjectError(Exception):
    """An object cannot be fetched or put; the message names its URI and what to do."""


def is_remote(uri: str) -> bool:
    """Whether ``uri`` is of a scheme that is fetched."""
    return uri.startswith(tuple(MOUNTS))


def mount_path(uri: str) -> str:
    """The path that code of components derives from a URI: ``/gcs/bucket/key`` for ``gs://bucket/key``."""
    for scheme, folder in MOUNTS.items():
        if uri.startswith(scheme):
            rest = uri[len(scheme) :]
            return folder + (rest.replace("/", "_") if scheme == "oci://" else rest)
    return uri.removeprefix("file://")


def last_part(uri: str) -> str:
    """The name of the object at a URI."""
    name = uri.rstrip("/").rpartition("/")[2].partition("?")[0]
    return name if name not in ("", ".", "..") else "artifact"


def fetch(uri: str, target: Path) -> None:
    """Bring an object, or all objects below a URI as a folder, to ``target``. Nothing there: nothing is made.

    Raises:
        ObjectError: the library is not installed, or the store refuses.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if uri.startswith("oci://"):
        _fetch_image(uri, target)
        return
    store, key = _open(uri)
    try:
        found = list(_keys_below(store, key))
        if key in found or not found:
            _write(store, key, target)
            return
        places = {one: (target / one[len(key) :].lstrip("/")).resolve() for one in found}
        inside = {one: place for one, place in places.items() if place.is_relative_to(target.resolve())}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(lambda one: _write(store, *one), inside.items()))
    except FileNotFoundError:
        return
    except Exception as error:
        raise ObjectError(f"{uri} cannot be fetched: {_reason(error)}") from error


def put(path: Path, uri: str) -> None:
    """Put a file, or what is in a folder, where ``uri`` says.

    Raises:
        ObjectError: the library is not installed, or the store refuses.
    """
    if uri.startswith("oci://"):
        raise ObjectError(f"{uri} cannot be written: images are read only; give the artifact another URI")
    store, key = _open(uri)
    import obstore

    try:
        if path.is_dir():
            for one in sorted(path.rglob("*")):
                if one.is_file():
                    obstore.put(store, f"{key}/{one.relative_to(path).as_posix()}", one)
        else:
            obstore.put(store, key, path)
    except Exception as error:
        raise ObjectError(f"{uri} cannot be written: {_reason(error)}") from error


def _open(uri: str) -> tuple[Any, str]:
    """The bucket of a URI as a store, and the key in it."""
    try:
        from obstore.store import from_url
    except ImportError:
        scheme = uri.partition("://")[0]
        raise ObjectError(
            f"{uri} is in an object store, and obstore is not installed, which reads {scheme}://; install it: "
            "pip install 'headrace[objects]'"
        ) from None
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    config: dict[str, Any] = {}
    if scheme == "minio":
        scheme = "s3"
        config = _minio()
    emulator = os.environ.get("STORAGE_EMULATOR_HOST", "") if scheme == "gs" else ""
    if emulator:
        config = {"service_account_key": _emulated(emulator)}
    endpoint = emulator or str(
        config.get("endpoint") or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT", "")
    )
    options: dict[str, Any] = {"client_options": {"allow_http": True}} if endpoint.startswith("http://") else {}
    try:
        return from_url(f"{scheme}://{bucket}", **config, **options), key.rstrip("/")
    except Exception as error:
        raise ObjectError(f"{uri}: {_reason(error)}") from error


def _emulated(address: str) -> str:
    """A key for the server that Google's own clients take from STORAGE_EMULATOR_HOST; it asks for no account."""
    nobody = {"client_email": "", "private_key": "", "private_key_id": ""}
    return json.dumps({"gcs_base_url": address.rstrip("/"), "disable_oauth": True, **nobody})


def _minio() -> dict[str, str]:
    """How a MinIO server is reached; what is not set is as for ``s3://``."""
    given = {
        "endpoint": os.environ.get("MINIO_ENDPOINT", ""),
        "access_key_id": os.environ.get("MINIO_ACCESS_KEY", ""),
        "secret_access_key": os.environ.get("MINIO_SECRET_KEY", ""),
    }
    found = {name: value for name, value in given.items() if value}
    if "endpoint" in found and "://" not in found["endpoint"]:
        found["endpoint"] = f"http://{found['endpoint']}"
    return found


def _keys_below(store: Any, key: str) -> Iterator[str]:
    import obstore

    for batch in obstore.list(store, prefix=key or None):
        for one in batch:
            path = str(one["path"])
            if path == key or path.startswith(f"{key}/" if key else ""):
                yield path
    # A prefix may be listed by folders alone: the object of exactly this key is asked for by its name.
    if key:
        try:
            obstore.head(store, key)
        except FileNotFoundError:
            return
        yield key


def _write(store: Any, key: str, place: Path) -> None:
    import obstore

    stream = obstore.get(store, key).stream(min_chunk_size=_PART)
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as file:
        for part in stream:
            file.write(part)


def _fetch_image(uri: str, target: Path) -> None:
    """Bring the folder ``/models`` of an image to ``target/models``."""
    from headrace.model.errors import EnvironmentSetupError
    from headrace.runtime.containers.engine import remove
    from headrace.runtime.containers.found import find_engine

    try:
        engine = find_engine()
        image = engine.image_id(uri.removeprefix("oci://"))
        name = f"headrace-copy-{os.getpid()}-{os.urandom(4).hex()}"
        engine.ask(["create", f"--name={name}", image, "true"])
        try:
            target.mkdir(parents=True, exist_ok=True)
            engine.ask(["cp", f"{name}:/models", str(target)])
        except EnvironmentSetupError:
            shutil.rmtree(target, ignore_errors=True)
            raise
        finally:
            remove(engine, name)
    except EnvironmentSetupError as error:
        raise ObjectError(f"{uri} cannot be fetched: {error}") from error


def _reason(error: Exception) -> str:
    """The first line of what the library says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
