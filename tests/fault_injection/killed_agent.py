"""`python -m tests.fault_injection.killed_agent N …` runs the real agent and kills it at the N-th disk operation."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from device_agent.cli import main
from device_agent.storage.disk import Disk

OPERATIONS = ("make_directory", "write", "link", "point", "rename", "sync", "remove")


def arm(number: int) -> None:
    left = [number]

    def deadly(operation: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            operation(*arguments)

        return run

    for name in OPERATIONS:
        setattr(Disk, name, deadly(getattr(Disk, name)))


if __name__ == "__main__":
    arm(int(sys.argv.pop(1)))
    main()
