"""The names of the agent's TPM, and the error for an invalid one."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import Mock, create_autospec

import pytest

from device_agent.tpm import Tpm, source
from device_agent.tpm.source import TpmSource, name_from_file, open_tpm
from shared.errors import BirthmarkError, ErrorCode


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


class Appearing:
    """A chip that does not open for each of `reasons`, one after another, and then does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *reasons: ErrorCode) -> None:
        self.reasons = list(reasons)
        self.pauses: list[float] = []
        self.told: list[str] = []
        self.tpm: Tpm = create_autospec(Tpm, instance=True)
        monkeypatch.setattr(source, "time", Mock(monotonic=lambda: sum(self.pauses), sleep=self.pauses.append))
        monkeypatch.setattr(Tpm, "open", self._open)

    def _open(self, tcti: str) -> Tpm:
        assert tcti == "device:/dev/tpmrm0"
        if self.reasons:
            raise BirthmarkError(self.reasons.pop(0))
        return self.tpm

    def source(self, wait_seconds: float) -> TpmSource:
        return TpmSource("device:/dev/tpmrm0", Path("unused"), wait_seconds, lambda error: self.told.append(error.code))


def test_a_chip_that_is_not_there_yet_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Appearing(
        monkeypatch,
        *("tpm.no-device", "tpm.no-device", "tpm.permission", "tpm.not-ready", "tpm.busy", "tpm.gone", "tpm.gone"),
    )
    assert chip.source(30.0).get() is chip.tpm
    assert chip.pauses == [0.25, 0.5, 1.0, 2.0, 2.0, 2.0, 2.0]
    assert chip.told == ["tpm.no-device", "tpm.permission", "tpm.not-ready", "tpm.busy", "tpm.gone"]


def test_a_chip_that_never_comes_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    absent: list[ErrorCode] = ["tpm.no-device"] * 99
    chip = Appearing(monkeypatch, *absent)
    with pytest.raises(BirthmarkError, match="no TPM"):
        chip.source(30.0).get()
    assert 30.0 <= sum(chip.pauses) < 32.0
    assert chip.told == ["tpm.no-device"]


@pytest.mark.parametrize(("seconds", "reason"), [(0.0, "tpm.no-device"), (30.0, "tpm.lockout"), (30.0, "tpm.failed")])
def test_who_does_not_wait_and_what_waiting_does_not_mend_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch, seconds: float, reason: ErrorCode
) -> None:
    chip = Appearing(monkeypatch, reason)
    with pytest.raises(BirthmarkError) as caught:
        chip.source(seconds).get()
    assert caught.value.code == reason
    assert (chip.pauses, chip.told) == ([], [])
    assert chip.source(seconds).get() is chip.tpm, "the next one opens it"
