from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace._base.sizes import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4GiB", 4 * 2**30),
        ("512 MB", 512 * 10**6),
        ("512mb", 512 * 10**6),
        ("1.5 TiB", 3 * 2**39),
        ("2Gi", 2**31),
        ("2G", 2 * 10**9),
        (" 10 ", 10),
        ("1_000 B", 1000),
        ("12 bytes", 12),
        (".5k", 500),
        (7, 7),
        (0, 0),
        (2.5e3, 2500),
    ],
)
def test_sizes_are_read(text: str | float, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "bad", ["", "GiB", "4 GoB", "-1", "1e3", "4iB", "1 2", -1, float("nan"), float("inf"), True, None, b"1"]
)
def test_what_is_not_a_size_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(bad)  # type: ignore[arg-type]


@given(st.integers(0, 2**62))
def test_a_shown_size_reads_back_to_nearly_itself(size: int) -> None:
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.06, abs=0)


@given(st.integers(0, 1023), st.sampled_from(["B", "KiB", "MiB", "GiB", "TiB", "PiB"]))
def test_whole_units_round_trip(count: int, unit: str) -> None:
    text = f"{count} {unit}" if count else "0 B"
    assert format_size(parse_size(text)) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(1023, "1023 B"), (1024, "1 KiB"), (1024**2 - 1, "1 MiB"), (3 * 2**29, "1.5 GiB"), (-2048, "-2 KiB")],
)
def test_sizes_are_shown(size: int, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("1h 30 min", 5400.0),
        ("90", 90.0),
        ("1.5h", 5400.0),
        ("500ms", 0.5),
        ("2 days", 172800.0),
        (12, 12.0),
        (0.25, 0.25),
        (timedelta(minutes=2), 120.0),
        ("0", 0.0),
    ],
)
def test_durations_are_read(text: str | float | timedelta, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "bad",
    ["", " ", "m", "10 parsecs", "1h30", "30 1h", "-5s", -1, float("nan"), timedelta(-1), None, [1]],
)
def test_what_is_not_a_duration_is_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(bad)  # type: ignore[arg-type]


@given(st.floats(1e-6, 1e9))
def test_a_shown_duration_reads_back_to_nearly_itself(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.05, abs=6e-7)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00035, "350 us"),
        (0.0123, "12.3 ms"),
        (0.5, "500 ms"),
        (9.999, "10.0 s"),
        (59.96, "1m 00s"),
        (125, "2m 05s"),
        (3599.6, "1h 00m"),
        (3725, "1h 02m"),
        (86400 * 3 + 3600 * 4, "3d 04h"),
        (-90, "-1m 30s"),
    ],
)
def test_durations_are_shown(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
