"""/etc/default/birthmark-agent, which systemd reads (EnvironmentFile= in systemd.exec(5)): its settings. Pure."""

from __future__ import annotations

import re
from pathlib import PurePosixPath


def setting(content: str, name: str) -> str:
    """What `name` is set to, as systemd takes it; empty where it is not set."""
    values = re.findall(rf"^[ \t]*{name}[ \t]*=(.*)$", content, re.MULTILINE)
    return values[-1].strip().strip("\"'") if values else ""


def with_setting(content: str, name: str, value: PurePosixPath) -> str:
    """`content` with `name` set to `value`, in place of where it was set or suggested by a comment; the last wins."""
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
