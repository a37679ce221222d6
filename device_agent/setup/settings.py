"""Reads and sets settings of /etc/default/birthmark-agent, an EnvironmentFile= of systemd (systemd.exec(5))."""

from __future__ import annotations

import re
from pathlib import PurePosixPath


def setting(content: str, name: str) -> str:
    """Return the value of `name`, as systemd reads it; empty if it is not set."""
    values = re.findall(rf"^[ \t]*{name}[ \t]*=(.*)$", content, re.MULTILINE)
    return values[-1].strip().strip("\"'") if values else ""


def with_setting(content: str, name: str, value: PurePosixPath) -> str:
    """Return `content` with `name` set to `value`, in place of its last line or of a comment that suggests it."""
    if setting(content, name) == str(value):
        return content
    line = f"{name}={value}"
    lines = content.splitlines()
    set_at = [number for number, text in enumerate(lines) if re.match(rf"\s*{name}\s*=", text)]
    suggested_at = [number for number, text in enumerate(lines) if re.match(rf"\s*#\s*{name}\s*=", text)]
    if set_at:
        lines[set_at[-1]] = line
    elif suggested_at:
        lines[suggested_at[-1]] = line
    else:
        lines.append(line)
    return "\n".join(lines) + "\n"


def without_setting(content: str, name: str) -> str:
    """`content` with each line that sets `name` made a comment."""
    return re.sub(rf"^[ \t]*(?={name}[ \t]*=)", "#", content, flags=re.MULTILINE)
