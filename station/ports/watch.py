"""Finds the ports that match the operator's paths and patterns, and serves each.

Looks again on udev's events, or each second.
"""

from __future__ import annotations

import asyncio
import glob
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pyudev

from station.config import SessionConfig
from station.events import Bus, NoticeChanged, Topic
from station.ports import udev_rule
from station.ports.allowed import AllowedPorts
from station.ports.port import serve_port
from station.ports.restraint import Restraint
from station.provisioning.cable import CableProvisioner

log = logging.getLogger(__name__)

DEFAULT_PATTERN: Final = "/dev/birthmark/*"
"""The links that the udev rule makes, one for each unit that is plugged in."""

_LOOK_SECONDS: Final = 1.0
_PORTS_MAX: Final = 256
"""The most ports served at once. Each may hold half a MiB."""


def present(patterns: Sequence[str]) -> set[Path]:
    """Return the ports that match. A plain path always matches, so that the page can say that it is absent."""
    found: set[Path] = set()
    for pattern in patterns:
        if glob.has_magic(pattern):
            found.update(Path(path) for path in glob.glob(pattern))
        else:
            found.add(Path(pattern))
    return found


def why_none(patterns: Sequence[str], found: set[Path], rule_installed: Callable[[], bool]) -> str:
    """Return why no port can ever match, and what to do; empty if one can."""
    if found or DEFAULT_PATTERN not in patterns or rule_installed():
        return ""
    return (
        f"No unit can appear: the udev rule that makes {DEFAULT_PATTERN} is not installed. In a checkout, "
        f"`sudo install -m 644 udev/{udev_rule.RULE} /etc/udev/rules.d/ && sudo udevadm control --reload` installs it; "
        "then plug the unit in again. Or name the ports: --serial-port '/dev/ttyACM*'."
    )


class _UdevMonitor:
    """Wakes the watch when udev reports a tty, so that a new port is found at once."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._monitor: pyudev.Monitor | None = None
        try:
            monitor = pyudev.Monitor.from_netlink(pyudev.Context())
            monitor.filter_by("tty")
            monitor.start()
            asyncio.get_running_loop().add_reader(monitor.fileno(), self._ring)
        except (OSError, ImportError) as error:  # no udev here, as in most containers
            log.info("no udev (%s): ports are looked for every %g s", error, _LOOK_SECONDS)
        else:
            self._monitor = monitor

    def _ring(self) -> None:
        while self._monitor and self._monitor.poll(timeout=0):
            self._rung.set()

    async def wait(self) -> None:
        """Wait until udev reports a tty, at most `_LOOK_SECONDS`."""
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._rung.wait()
        except TimeoutError:
            return
        self._rung.clear()

    def close(self) -> None:
        if self._monitor:
            asyncio.get_running_loop().remove_reader(self._monitor.fileno())


async def serve_ports(
    patterns: Sequence[str],
    provisioner: CableProvisioner,
    bus: Bus,
    config: SessionConfig,
    allowed: AllowedPorts | None = None,
) -> None:
    """Serve every allowed port that matches, also new ones, until cancelled."""
    allowed = allowed or AllowedPorts(None)
    udev = _UdevMonitor()
    serving: dict[Path, asyncio.Task[None]] = {}
    restraint = Restraint()  # it outlives a port's task, which ends with each unplugging
    crowded = False
    try:
        async with asyncio.TaskGroup() as group:
            while True:
                found = present(patterns)
                bus.tell(NoticeChanged(Topic.PORTS, why_none(patterns, found, udev_rule.is_installed)))
                ports = allowed.choose(found)
                for path in sorted(ports - serving.keys())[: _PORTS_MAX - len(serving)]:
                    serving[path] = group.create_task(serve_port(path, provisioner, bus, config, restraint))
                for path in serving.keys() - ports:
                    serving.pop(path).cancel()
                if not crowded and ports - serving.keys():
                    log.warning("more than %d ports: the rest wait until one is unplugged", _PORTS_MAX)
                crowded = bool(ports - serving.keys())
                await udev.wait()
    finally:
        udev.close()
