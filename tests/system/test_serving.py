"""The station serves an aggregator by the commands of docs/operator.md: by its own TLS, then behind nginx.

The aggregator is a network namespace of the same machine, joined to it by a veth pair: for sockets, routes and the
kernel's address filters it is another machine.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

import pytest

from tests.system.guest import Guest
from tests.system.page import READ, open_page
from tests.system.words import type_words

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAGE: Final = Path(__file__).parents[2] / "docs" / "operator.md"
DATA: Final = "/var/lib/birthmark-station/data"
STATION: Final = "192.0.2.1"
AGGREGATOR: Final = "192.0.2.7"
STRANGER: Final = "192.0.2.8"
NAME: Final = "https://sma.example.org"
NETWORK: Final = f"""
ip netns add aggregator
ip link add station type veth peer name aggregator netns aggregator
ip address add {STATION}/24 dev station
ip link set station up
ip -n aggregator address add {AGGREGATOR}/24 dev aggregator
ip -n aggregator address add {STRANGER}/24 dev aggregator
ip -n aggregator link set lo up
ip -n aggregator link set aggregator up
mkdir -p /etc/netns/aggregator
echo '{STATION} sma.example.org' > /etc/netns/aggregator/hosts
"""
DROP_INS: Final = "/etc/systemd/system/birthmark-station.socket.d /etc/systemd/system/birthmark-station.service.d"


class Aggregator:
    """The other machine's shell, in a folder with a copy of the station's certificate."""

    def __init__(self, pi: Guest) -> None:
        self._pi = pi

    def good(self, command: str, seconds: float = 180) -> str:
        return self._pi.good(f"cd /tmp && ip netns exec aggregator bash -c {shlex.quote(command)}", seconds)

    def status(self, path: str, *options: str, port: int = 443) -> str:
        """Return the answer's HTTP status; 000 without a connection or without trust."""
        asked = ["curl", "-sS", "-m", "60", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", "tls.pem", *options]
        asked.append(f"{NAME}:{port}{path}" if port != 443 else f"{NAME}{path}")
        return self.good(f"{shlex.join(asked)} 2>/dev/null || true")


@pytest.fixture
def aggregator(pi: Guest) -> Aggregator:
    return Aggregator(pi)


def read_token(pi: Guest) -> str:
    return pi.good(
        "setpriv --reuid=birthmark-station --regid=birthmark-station --clear-groups "
        f"birthmark-station tokens create t$RANDOM$RANDOM --scope read --data-dir {DATA}"
    ).split()[-1]


def rate_limited(pi: Guest) -> float:
    """Count the requests that the station has refused because their client sent too many."""
    text = pi.good(f"curl -sS --fail -H 'Authorization: Bearer {read_token(pi)}' http://127.0.0.1:8001/metrics")
    lines = [line for line in text.splitlines() if line.startswith("birthmark_http_rate_limited_total{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def test_a_station_as_installed_is_out_of_the_aggregators_reach(pi: Guest, aggregator: Aggregator) -> None:
    print(f"boot: {pi.start():.0f} s")
    pi.good("systemctl stop birthmark-agent.timer birthmark-agent.service birthmark-gadget.service")
    pi.good(NETWORK)
    pi.eventually("curl -sS --fail --max-time 300 http://127.0.0.1:8001/health", 300)
    refused = aggregator.good(f"curl -sS -m 60 http://{STATION}:8001/health 2>&1 || true")
    assert refused.startswith("curl: (7)"), "there is nobody to connect to"


def test_its_own_tls_serves_the_aggregator_as_the_guide_says(pi: Guest, aggregator: Aggregator) -> None:
    type_words(pi, PAGE, "Serving an aggregator")
    type_words(pi, PAGE, "By the station's own TLS")
    pi.good("cp /etc/birthmark-station/tls.pem /tmp/tls.pem")
    type_words(aggregator, PAGE, "Trying it from the aggregator")
    assert pi.good("stat -c '%U %a' /etc/birthmark-station/tls.key") == "root 600"
    assert "warning: the TLS" not in pi.good(
        "journalctl -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID birthmark-station)"
    )


def assert_only_validation_is_open(pi: Guest, aggregator: Aggregator) -> None:
    pi.good(
        "test -e /tmp/other.pem || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 9 "
        "-subj /CN=other -keyout /tmp/other.key -out /tmp/other.pem"
    )
    unknown = aggregator.good(f"curl -sS -m 60 --cacert other.pem {NAME}/health 2>&1 || true")
    assert unknown.startswith("curl: (60)"), "who does not believe the certificate does not ask"
    assert aggregator.status("/crl") == "200"
    assert aggregator.status("/", "-H", "Accept: text/html") == "303"
    assert aggregator.status("/events") == aggregator.status("/metrics") == aggregator.status("/stats") == "401"
    revoke = ("-X", "POST", "-H", "Content-Type: application/json", "-d", '{"reason": "x"}')
    assert aggregator.status("/api/v1/devices/any/revoke", *revoke) == "401"
    for name in ("localhost", "127.0.0.1"):
        assert aggregator.status("/", "-H", "Accept: text/html", "-H", f"Host: {name}") == "303"
    assert aggregator.status("/health", "-H", "Host: another.example.org") == "421"
    assert aggregator.status("/api/v1/devices", "-H", f"Authorization: Bearer {read_token(pi)}") == "200"
    open_page(pi)
    assert "Units" in pi.good(READ), "who can read the data directory needs no token"


def test_by_its_own_tls_the_page_and_all_operations_want_a_token(pi: Guest, aggregator: Aggregator) -> None:
    assert_only_validation_is_open(pi, aggregator)
    assert aggregator.status("/health", port=8001) == "000"
    clear = f"curl -sS -m 60 -o /dev/null -w '%{{http_code}}' http://{STATION}:443/health 2>/dev/null || true"
    assert aggregator.good(clear) == "000", "nothing is said in the clear"


def test_only_addresses_that_the_guide_allows_reach_it(pi: Guest, aggregator: Aggregator) -> None:
    assert aggregator.status("/health", "--interface", AGGREGATOR) == "200"
    assert aggregator.status("/health", "--interface", STRANGER, "-m", "5") == "000"


def test_renewing_the_certificate_refuses_nobody(pi: Guest, aggregator: Aggregator) -> None:
    shown = "openssl s_client -connect 192.0.2.1:443 </dev/null 2>/dev/null | openssl x509 -noout -serial"
    before = aggregator.good(shown)
    pi.good(
        "openssl req -x509 -key /etc/birthmark-station/tls.key -days 90 -subj /CN=sma.example.org "
        "-addext subjectAltName=DNS:sma.example.org -out /etc/birthmark-station/tls.pem"
    )
    pi.good("cat /etc/birthmark-station/tls.pem >> /tmp/tls.pem")  # the aggregator believes both
    asking = f"curl -sS -m 600 --fail --cacert /tmp/tls.pem {NAME}/ready || echo REFUSED"
    asking = f"while ! test -e /tmp/asked-enough; do {asking}; echo; done > /tmp/answers 2>&1"
    pi.good(f"rm -f /tmp/asked-enough; ip netns exec aggregator setsid bash -c {shlex.quote(asking)} >/dev/null 2>&1 &")
    type_words(pi, PAGE, "Renewing the certificate")
    pi.eventually("systemctl is-active -q birthmark-station", 600)
    assert aggregator.good(shown) != before
    count = int(pi.good("wc -l < /tmp/answers"))
    pi.eventually(f"test $(wc -l < /tmp/answers) -gt {count + 2}", 600)
    pi.good("touch /tmp/asked-enough")
    answers = pi.good("cat /tmp/answers")
    assert "REFUSED" not in answers
    assert "curl:" not in answers


def test_nginx_serves_the_aggregator_as_the_guide_says(pi: Guest, aggregator: Aggregator) -> None:
    pi.good(f"rm -r {DROP_INS}; systemctl daemon-reload")
    type_words(pi, PAGE, "Behind nginx")
    type_words(aggregator, PAGE, "Trying it from the aggregator")
    assert pi.good("stat -c '%U:%G %a' /run/birthmark-station.sock") == "root:www-data 660"


def test_behind_nginx_the_page_and_all_operations_want_a_token(pi: Guest, aggregator: Aggregator) -> None:
    assert_only_validation_is_open(pi, aggregator)


def test_behind_nginx_each_client_is_limited_by_its_own_address(pi: Guest, aggregator: Aggregator) -> None:
    settings = f"{DATA}/station.toml"
    pi.good(f"sed -i 's/^validation = .*/validation = 0.01/' {settings} && grep '^validation = 0.01' {settings}")
    pi.good("systemctl restart birthmark-station", 600)
    empty = ("-H", "Content-Type: application/json", "-d", "{}")
    assert aggregator.status("/validate", *empty) == "200"
    assert aggregator.status("/validate", *empty) == "429"
    forged = ("-H", "X-Forwarded-For: 198.51.100.1")
    assert aggregator.status("/validate", *empty, *forged) == "429", "what a client says of itself counts for nothing"
    assert aggregator.status("/validate", *empty, "--interface", STRANGER) == "200", "another client is not held up"
    here = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", *empty, "http://127.0.0.1:8001/validate"]
    assert pi.good(shlex.join(here)) == "200"
    assert pi.good(shlex.join([*here, *forged])) == "429", "only the proxy is believed"
    assert rate_limited(pi) == 3


def test_nobody_but_nginx_opens_its_socket(pi: Guest) -> None:
    ask = "curl -sS -m 60 -o /dev/null -w '%{http_code}' --unix-socket /run/birthmark-station.sock http://localhost/"
    for user, seen in (("www-data", "200"), ("nobody", "000")):
        group = {"www-data": "www-data", "nobody": "nogroup"}[user]
        become = f"setpriv --reuid={user} --regid={group} --clear-groups"
        assert pi.good(f"{become} {ask}health 2>/dev/null || true") == seen
    page = pi.good(f"setpriv --reuid=www-data --regid=www-data --clear-groups {ask} -H 'Accept: text/html'")
    assert page == "303", "a request through it is never local"
    pi.power_off()
