"""Write container images without Docker: layers, and archives in the OCI image layout."""

import hashlib
import io
import json
import os
import platform
import tarfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

MACHINE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


class Layer:
    """One layer of an image: an uncompressed tar archive."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tar = tarfile.open(path, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115

    def __enter__(self) -> "Layer":
        return self

    def __exit__(self, *_) -> None:
        self.tar.close()

    def tree(self, source: Path, name: str, skip: Iterable[str] = ()) -> None:
        def keep(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
            if any(fnmatch(part, pattern) for part in entry.name.split("/") for pattern in skip):
                return None
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            return entry

        self.tar.add(source, name, filter=keep)

    def file(self, name: str, content: bytes, mode: int = 0o644) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), mode
        self.tar.addfile(entry, io.BytesIO(content))

    def link(self, name: str, target: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self.tar.addfile(entry)

    def folder(self, name: str, mode: int = 0o755) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        self.tar.addfile(entry)


def write_image(name: str, layers: list[Path], config: dict, archive: Path) -> None:
    """Write an image in the OCI layout, as one archive that `ctr images import` takes."""
    unfinished = archive.with_suffix(".unfinished")
    with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as tar:

        def add(content: Path | bytes, kind: str) -> dict:
            stream = open(content, "rb") if isinstance(content, Path) else io.BytesIO(content)  # noqa: SIM115
            with stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                size = stream.seek(0, os.SEEK_END)
                stream.seek(0)
                entry = tarfile.TarInfo(f"blobs/sha256/{digest}")
                entry.size = size
                tar.addfile(entry, stream)
            return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": size}

        blobs = [add(layer, "layer.v1.tar") for layer in layers]
        document = {
            "architecture": MACHINE,
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [blob["digest"] for blob in blobs]},
        }
        configuration = add(json.dumps(document).encode(), "config.v1+json")
        manifest = add(
            json.dumps(
                {
                    "schemaVersion": 2,
                    "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": configuration,
                    "layers": blobs,
                }
            ).encode(),
            "manifest.v1+json",
        )
        manifest["annotations"] = {"io.containerd.image.name": name}
        for path, value in (
            ("oci-layout", {"imageLayoutVersion": "1.0.0"}),
            ("index.json", {"schemaVersion": 2, "manifests": [manifest]}),
        ):
            content = json.dumps(value).encode()
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    unfinished.rename(archive)


def full_name(name: str) -> str:
    """The name as pods must give it: `localhost` stands where others have the host of a registry."""
    tagged = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    return tagged if tagged.startswith("localhost/") else f"localhost/{tagged}"


def image_of_one_program(name: str, program: Path, archive: Path) -> None:
    """Write an image with nothing but a program that needs no library."""
    with Layer(archive.with_suffix(".layer")) as layer:
        layer.file(program.name, program.read_bytes(), 0o755)
    write_image(full_name(name), [layer.path], {"Entrypoint": [f"/{program.name}"], "User": "65532:65532"}, archive)
    layer.path.unlink()
