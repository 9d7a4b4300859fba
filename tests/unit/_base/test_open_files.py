"""The limit of open files is raised as far as it may be, and never lowered."""

from __future__ import annotations

import resource

from headrace._base.open_files import allow_open_files


def test_limit_of_open_files_is_raised_and_never_lowered() -> None:
    soft, hard = before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
        allow_open_files(300)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(300, hard)
        allow_open_files(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(300, hard)
        allow_open_files(1 << 40)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= min(300, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
