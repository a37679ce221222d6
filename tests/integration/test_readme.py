"""The README's commands work in a fresh clone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.checkout import ROOT, copy_of_checkout, git

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.timeout(300)
def test_the_readmes_commands_provision_a_unit_and_leave_the_checkout_clean(tmp_path: Path) -> None:
    checkout = copy_of_checkout(tmp_path / "checkout")
    section = README.split("## By hand", 1)[1].split("\n## ", 1)[0]
    script = "\n".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).replace("--port 8001", "--port 0")
    walk = subprocess.Popen(
        ["bash", "-ec", script],
        cwd=checkout,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        said, progress = walk.communicate(timeout=280)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(walk.pid, signal.SIGKILL)  # what is left of it when a command failed
        walk.wait()
    assert walk.returncode == 0, said + progress
    assert '"state": "provisioned"' in said
    assert re.search(r"^10000000abcdef01 .*provisioned", said, re.MULTILINE)
    assert '"key_index"' in said
    assert git(checkout, "status", "--porcelain") == ""
    assert {path.name for path in (checkout / "trial").iterdir()} >= {"station", "pi"}
