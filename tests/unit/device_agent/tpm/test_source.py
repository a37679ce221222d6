"""The names of the agent's TPM, and the error for an invalid one."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agent.tpm.source import name_from_file, open_tpm
from shared.errors import BirthmarkError


@pytest.mark.parametrize(
    "name",
    [
        *("no-such-tcti:x", "simulatr", "/dev/tpmrm0", "", "device\x1b[2J"),
        *("cmd:id", "pcap:device:/dev/tpm0", "libtpms", "/tmp/evil.so", "./evil.so:x", "libtss2-tcti-cmd.so.0:id"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name: str, tmp_path: Path) -> None:
    with open_tpm(name, tmp_path) as source, pytest.raises(BirthmarkError) as caught:
        source.get()
    assert caught.value.code == "tpm.name-unknown"
    assert "device:/dev/tpmrm0" in caught.value.advice
    assert "simulator" in caught.value.advice
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("name", ["simulator", "device:/dev/tpm0", "device:/dev/tpmrm0", "device:/dev/tpm-hat"])
def test_an_identity_may_name_its_own_simulator_and_the_kernels_devices(name: str) -> None:
    assert name_from_file(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("cmd:id", "pcap:cmd:id", "swtpm:path=s", "mssim", "tabrmd", "device", "/tmp/evil.so:x", "", "simulator:x"),
        *("device:/dev/tpm/../x", "device:/dev/tpmrm0\n", "device:/dev/tpm0/x", "device:/tmp/tpm0", "device:dev/tpm0"),
    ],
)
def test_any_other_tpm_must_be_typed(name: str) -> None:
    with pytest.raises(BirthmarkError) as caught:
        name_from_file(name)
    assert caught.value.code == "tpm.name-untyped"
    assert "--tpm" in caught.value.advice
