"""The names of the agent's TPM, and the error for an invalid one."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agent.tpm.source import open_tpm
from shared.errors import BirthmarkError


@pytest.mark.parametrize("name", ["no-such-tcti:x", "simulatr", "/dev/tpmrm0", "", "device\x1b[2J"])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with open_tpm(name, tmp_path) as source, pytest.raises(BirthmarkError) as caught:
        source.get()
    assert caught.value.code == "tpm.name-unknown"
    assert "device:/dev/tpmrm0" in caught.value.advice
    assert "simulator" in caught.value.advice
    assert "\x1b" not in str(caught.value)
