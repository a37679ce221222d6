"""One client may send ten seconds' worth at once, then the rate; and the name that a client is counted under."""

from __future__ import annotations

from functools import partial

import pytest

from station.config import RatesConfig
from station.web.http.limiter import BURST_SECONDS, CLIENTS_MAX, Limiter, client_name


def test_ten_seconds_worth_may_come_at_once_and_then_no_more_than_the_rate() -> None:
    clock = [0.0]
    limiter = Limiter(RatesConfig(reading=5.0), lambda: clock[0])
    burst = int(5 * BURST_SECONDS)
    assert [limiter.spend("reading", "a") > 0 for _ in range(burst + 1)] == [False] * burst + [True]
    assert limiter.spend("reading", "b") == 0
    clock[0] = 1.0
    assert [limiter.spend("reading", "a") > 0 for _ in range(6)] == [False] * 5 + [True]


def test_a_first_request_is_accepted_at_any_time() -> None:
    times = [number / 7 for number in range(2000)]
    assert any(now + 100.0 - now - 100.0 > 0 for now in times), "sums of times are not exact"
    for now in times:
        assert Limiter(RatesConfig(reading=0.01), partial(float, now)).spend("reading", "a") == 0.0


def test_the_memory_of_clients_is_bounded() -> None:
    limiter = Limiter(RatesConfig())
    for number in range(CLIENTS_MAX + 100):
        limiter.spend("public", str(number))
    assert len(limiter) == CLIENTS_MAX


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("no address", "unknown"),
    ],
)
def test_an_ipv6_client_counts_as_its_network(address: str, name: str) -> None:
    assert client_name(address) == name
