"""`make soak` detects every kind of growth."""

from __future__ import annotations

from dataclasses import replace

from tests.soak import CPU_RATIO, DESCRIPTORS, EDGE, ROUNDS, RSS_RATIO, Measured, grown

FLAT = [Measured(200 * number, 14.0, 100.0, 22, 12, 15.0, 13.0) for number in range(1, ROUNDS + 1)]


def ending(**change: float) -> list[Measured]:
    """Return the last rounds with some of their figures multiplied."""
    return FLAT[:-EDGE] + [
        replace(measured, **{name: getattr(measured, name) * ratio for name, ratio in change.items()})
        for measured in FLAT[-EDGE:]
    ]


def test_a_station_that_stays_as_it_was_has_not_grown() -> None:
    assert grown(FLAT) == []
    assert grown(ending(rss_mib=RSS_RATIO - 0.01, cpu_ms=CPU_RATIO - 0.01)) == []


def test_each_kind_of_growth_is_reported() -> None:
    for change, told in (
        ({"rss_mib": RSS_RATIO + 0.01}, "memory"),
        ({"descriptors": 1 + (DESCRIPTORS + 1) / 22}, "files are left open"),
        ({"cpu_ms": CPU_RATIO + 0.01}, "processor time"),
    ):
        (found,) = grown(ending(**change))
        assert told in found
