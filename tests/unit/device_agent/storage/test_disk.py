"""Files that root makes for the agent, as `sudo birthmark-agent reset` does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from device_agent.storage.disk import Disk
from device_agent.storage.state_dir import lock_state_dir

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def test_what_root_writes_into_the_agents_directory_is_the_agents(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    Disk().write(tmp_path / "root.pem", b"pem")
    with lock_state_dir(tmp_path):
        pass
    for name in ("root.pem", "lock"):
        status = (tmp_path / name).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (12345, 12346, 0o600)
