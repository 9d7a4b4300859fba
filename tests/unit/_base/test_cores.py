"""How many cores a process may use, by its control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from headrace._base.cores import usable_cores

ALL = float(len(os.sched_getaffinity(0)))


def cores(folder: Path, groups: str, files: dict[str, str]) -> float:
    (folder / "groups").write_text(groups)
    for name, text in files.items():
        file = folder / "fs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return usable_cores(str(folder / "groups"), str(folder / "fs"))


@pytest.mark.parametrize(
    ("groups", "files", "found"),
    [
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 0.1),  # a container, in a control group namespace of its own
        ("0::/\n", {"cpu.max": "max 100000\n"}, ALL),
        ("0::/\n", {}, ALL),  # a machine without limits
        ("0::/a/b\n", {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "max 100000\n"}, 0.5),  # of a service's slice
        ("0::/../other\n", {"cpu.max": "20000 50000\n"}, 0.4),  # of a process that was moved elsewhere
        (
            "4:memory:/x\n1:cpu,cpuacct:/pods/p1\n0::/\n",  # version 1: a container sees its own as the root
            {"cpu/cpu.cfs_quota_us": "25000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            0.25,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, ALL),
        ("1:cpuset:/a\n", {"cpu.max": "what is this\n", "cpu/cpu.cfs_quota_us": "1\n"}, ALL),
        ("nothing that was ever seen", {"cpu.max": "1 0\n"}, ALL),
    ],
)
def test_cores_are_those_that_control_groups_allow(tmp_path, groups, files, found) -> None:
    assert cores(tmp_path, groups, files) == pytest.approx(found)


def test_quota_of_many_cores_does_not_make_them(tmp_path) -> None:
    assert cores(tmp_path, "0::/\n", {"cpu.max": "100000000 100000\n"}) == ALL
