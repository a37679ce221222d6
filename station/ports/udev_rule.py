"""Checks that the udev rule that makes /dev/birthmark/* is installed. Without it no unit appears there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

RULE: Final = "70-birthmark-station.rules"
"""The rule's file name, in the Debian package and in udev/ of the source."""

_DIRECTORIES: Final = ("etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d")
"""The directories of udev(7): the first that holds a name wins. /lib is the same as /usr/lib on a merged /usr."""


def is_installed(root: Path = Path("/")) -> bool:
    """Whether udev uses the rule. An empty file, or a link to /dev/null, switches a rule off."""
    for directory in (*_DIRECTORIES, "lib/udev/rules.d"):
        rule = root / directory / RULE
        try:
            return rule.stat().st_size > 0
        except OSError:
            continue
    return False
