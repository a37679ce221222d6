"""The station's user has been taken over: what systemd, which is root, does for it at the service's next start."""

from __future__ import annotations

import shlex

import pytest

from tests.system.guest import Guest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

HOME = "/var/lib/birthmark-station"
SECRET = f"{HOME}/data/secrets/station.key"
STOLEN = f"{HOME}/stolen"
AS_STATION = "setpriv --reuid=birthmark-station --regid=birthmark-station --clear-groups"
UNITS = "birthmark-station.socket birthmark-station.service"

STEAL = f"""
rm -f {STOLEN}
while ! test -e {HOME}/enough; do
    for file in /run/credentials/birthmark-station.service/*; do
        if test -s "$file"; then cat "$file" >> {STOLEN}; touch {HOME}/enough; fi
    done
    sleep 0.01
done
"""
"""Run as that user: whatever systemd hands to the service, it keeps a copy of."""


def test_systemd_reads_no_file_of_roots_through_a_link_of_the_stations_user(pi: Guest) -> None:
    print(f"boot: {pi.start():.0f} s")
    pi.good("systemctl stop birthmark-agent.timer birthmark-agent.service birthmark-gadget.service")
    pi.good(f"systemctl stop {UNITS}")
    pi.good("echo 'root:$6$secret:20000:0:99999:7:::' > /etc/shadow && chmod 0640 /etc/shadow")
    pi.good(f"{AS_STATION} sh -euc 'mv {SECRET} {HOME}/kept && ln -s /etc/shadow {SECRET}'")
    pi.good(f"rm -f {HOME}/enough; {AS_STATION} setsid sh -uc {shlex.quote(STEAL)} >/dev/null 2>&1 &")
    pi.run("systemctl start birthmark-station.service", 600)
    pi.good("systemctl reset-failed; systemctl stop birthmark-station.service; systemctl reset-failed")
    pi.good(f"touch {HOME}/enough")
    stolen = pi.run(f"cat {STOLEN}").text
    print(f"systemd {pi.good('systemctl --version').split()[1]} handed over: {stolen!r}")
    pi.good(f"{AS_STATION} sh -euc 'mv -f {HOME}/kept {SECRET}'")
    pi.good(f"systemctl start {UNITS}", 600)
    assert "root:" not in stolen


def test_a_secret_that_is_roots_alone_reaches_the_station_by_the_guides_drop_in(pi: Guest) -> None:
    """The commands of docs/operator.md: Ports, and the station secret."""
    drop_in = "/etc/systemd/system/birthmark-station.service.d/secret.conf"
    pi.good(f"systemctl stop {UNITS}")
    pi.good(f"mv {SECRET} /root/station.key && chown root:root /root/station.key && chmod 0600 /root/station.key")
    pi.good(f"mkdir -p $(dirname {drop_in})")
    pi.good(
        f"printf '[Service]\\nLoadCredential=station.key:/root/station.key\\n' > {drop_in} && systemctl daemon-reload"
    )
    pi.good(f"systemctl start {UNITS}", 600)
    pi.eventually("curl -sS --fail --max-time 90 http://127.0.0.1:8001/health", 300)
    assert pi.run(f"test -e {SECRET}").code == 1
