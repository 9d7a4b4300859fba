"""The folder that ``headrace dialect kfp`` prints."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from headrace.stores.codecs.files import cache_folder

_HOOK = Path(__file__).with_name("local_hook.py")


def make_folder() -> Path:
    """Write the folder for this interpreter, unless it is there; returns where it is."""
    text = _HOOK.read_text().replace('HEADRACE = "{python}"', f"HEADRACE = {sys.executable!r}")
    folder = cache_folder() / "dialects" / f"kfp-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    file = folder / "sitecustomize.py"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = folder / f".{os.getpid()}.part"
        part.write_text(text)
        part.replace(file)
    return folder
