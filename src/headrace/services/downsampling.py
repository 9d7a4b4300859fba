"""Fewer points that look like all of them, for charts.

``lttb``: Largest Triangle Three Buckets, S. Steinarsson, *Downsampling Time Series for Visual Representation*,
University of Iceland, 2013. ``bands``: minimum and maximum per bucket, as in U. Jugel, Z. Jerzak, G. Hackenbroich and
V. Markl, *M4: A Visualization-Oriented Time Series Data Aggregation*, VLDB 2014: no peak is lost so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Band(NamedTuple):
    """A bucket of points: where it begins, and the least, the mean and the greatest of its values."""

    start: float
    low: float
    mean: float
    high: float


def lttb(xs: Sequence[float], ys: Sequence[float], count: int) -> list[int]:
    """The places of ``count`` points that keep the look of a line; all of them where there are no more.

    Args:
        xs: where the points are, in order.
        ys: finite numbers.
        count: of points to keep, at least 3; the first and the last are among them.
    """
    size = len(xs)
    if size <= count or count < 3:
        return list(range(size))
    width = (size - 2) / (count - 2)
    kept = [0]
    for bucket in range(count - 2):
        start, end = int(bucket * width) + 1, int((bucket + 1) * width) + 1
        following = range(end, min(int((bucket + 2) * width) + 1, size)) or range(size - 1, size)
        mean_x = sum(xs[one] for one in following) / len(following)
        mean_y = sum(ys[one] for one in following) / len(following)
        left = kept[-1]
        x, y = xs[left], ys[left]
        across, up = x - mean_x, mean_y - y
        best, area = start, -1.0
        for one in range(start, end):
            found = abs(across * (ys[one] - y) - (x - xs[one]) * up)
            if found > area:
                best, area = one, found
        kept.append(best)
    kept.append(size - 1)
    return kept


def bands(xs: Sequence[float], ys: Sequence[float], count: int) -> list[Band]:
    """At most ``count`` buckets of equally many points.

    Args:
        xs: where the points are, in order.
        ys: finite numbers.
        count: of buckets, at least 1.
    """
    size = len(xs)
    number = min(count, size)
    found = []
    for bucket in range(number):
        start, end = bucket * size // number, (bucket + 1) * size // number
        some = ys[start:end]
        found.append(Band(xs[start], min(some), sum(some) / len(some), max(some)))
    return found
