"""Whether the rule that makes /dev/birthmark/* is installed. Without it a plugged-in unit never appears there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

RULE: Final = "70-birthmark-station.rules"
"""As the Debian package installs it and as it lies in udev/ of the source."""

_DIRECTORIES: Final = ("etc/udev/rules.d", "run/udev/rules.d", "usr/local/lib/udev/rules.d", "usr/lib/udev/rules.d")
"""udev(7), the first to hold a name wins; /lib is /usr/lib on all systems with a merged /usr, and looked at besides."""


def is_installed(root: Path = Path("/")) -> bool:
    """An empty file, or a link to /dev/null, is the administrator's way to switch a rule off."""
    for directory in (*_DIRECTORIES, "lib/udev/rules.d"):
        rule = root / directory / RULE
        try:
            return rule.stat().st_size > 0
        except OSError:
            continue
    return False
