"""Which Metaflow this dialect follows."""

from __future__ import annotations

VERSION = "2.19.39"
