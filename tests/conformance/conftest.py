"""Real servers, shared by the whole session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace.testing.servers import rclone_s3


@pytest.fixture(scope="session")
def s3() -> Iterator[tuple[str, dict[str, str]]]:
    """A bucket's URL and the settings that reach it."""
    with rclone_s3() as server:
        yield server
