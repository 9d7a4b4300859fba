"""The code of a run: which files it needs, each with its content's blob, as one manifest with one digest.

The manifest is canonical: files are in the order of their paths, so that equal code has equal bytes, and the BLAKE3 of
these bytes (the manifest is a blob itself) names the package.
"""

from __future__ import annotations

import msgspec

from headrace.model.errors import StoreDamagedError
from headrace.model.values import Blob

FORMAT = 1
#: The two modes that a file may have.
PLAIN, EXECUTABLE = 0o644, 0o755
_DIGEST = 32


class CodeFile(msgspec.Struct, frozen=True, array_like=True):
    """One file: its path from the root of the package with ``/``, and its content's digest, size and mode."""

    path: str
    digest: bytes
    size: int
    mode: int = PLAIN

    @property
    def blob(self) -> Blob:
        """The blob with the content."""
        return Blob(self.digest, self.size)


class CodePackage(msgspec.Struct, frozen=True, array_like=True):
    """All files of a package.

    ``folders`` are those that belong on ``sys.path``, in this order, as paths from the root (``""`` is the root).
    ``modules`` are names of modules that these folders do not lead to, each with the path of its file.
    """

    files: tuple[CodeFile, ...]
    folders: tuple[str, ...] = ("",)
    modules: tuple[tuple[str, str], ...] = ()
    format: int = FORMAT

    def encode(self) -> bytes:
        """The manifest's canonical bytes."""
        return msgspec.msgpack.encode(self)

    def file(self, path: str) -> CodeFile | None:
        """The file at ``path``."""
        return next((one for one in self.files if one.path == path), None)


def decode_package(data: bytes | memoryview) -> CodePackage:
    """The package of a manifest, which may come from anywhere: no path leads out of a folder in which it is written
    out.

    Raises:
        StoreDamagedError: it is not a manifest as ``encode`` writes it.
    """
    try:
        package = msgspec.msgpack.decode(data, type=CodePackage)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise StoreDamagedError(f"the manifest of a code package cannot be read: {error}") from None
    problem = _problem(package)
    if problem:
        raise StoreDamagedError(f"the manifest of a code package is refused: {problem}")
    return package


def _problem(package: CodePackage) -> str:
    if package.format != FORMAT:
        return f"its format is {package.format}, and this Headrace reads {FORMAT}; upgrade Headrace"
    paths = [one.path for one in package.files]
    if paths != sorted(set(paths)):
        return "its paths are not in order"
    known = set(paths)
    for one in package.files:
        if not is_safe(one.path):
            return f"{one.path!r} is not a path within it"
        if len(one.digest) != _DIGEST or one.size < 0 or one.mode not in (PLAIN, EXECUTABLE):
            return f"what it says of {one.path!r} cannot be"
        parts = one.path.split("/")
        if any("/".join(parts[:length]) in known for length in range(1, len(parts))):
            return f"{one.path!r} is inside of a file"
    for folder in package.folders:
        if folder and not is_safe(folder):
            return f"{folder!r} is not a folder within it"
    for name, path in package.modules:
        if path not in known or not all(part.isidentifier() for part in name.split(".")):
            return f"module {name!r} has no file in it"
    return ""


def is_safe(path: str) -> bool:
    """Whether ``path`` is a relative one that stays below where it starts and that every file system takes."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:  # a name that is not UTF-8
        return False
    if "\\" in path or len(encoded) > 4000 or any(byte < 32 or byte == 127 for byte in encoded):
        return False
    return all(part not in ("", ".", "..") and len(part) < 256 for part in path.split("/"))
