"""A TPM counts power cuts as wrong guesses, and a camera has many: the TPM must neither lock nor stay locked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tpm2_pytss import ESYS_TR, TPM2_CAP, TPM2B_ENCRYPTED_SECRET, TPM2B_ID_OBJECT

from device_agent.tpm import Simulator, Tpm
from device_agent.tpm.tpm import _Key
from shared.errors import BirthmarkError
from station.attestation.tpm2.credential import make_credential
from station.attestation.tpm2.structures import read_public

PT_LOCKOUT_COUNTER, PT_MAX_AUTH_FAIL = 0x20E, 0x20F  # TPM 2.0 Part 2, 6.13


class Power:
    """A TPM whose power is cut as a Pi's is."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.tpm = self._on()

    def _on(self) -> Tpm:
        self.simulator.start()
        return Tpm.open(self.simulator.tcti)

    def cut(self) -> None:
        """Kill the TPM, without TPM2_Shutdown, and switch it on again."""
        process = self.simulator._process
        assert process is not None
        process.kill()
        process.wait()
        self.tpm.close()
        self.tpm = self._on()

    def property(self, number: int) -> int:
        def read(esapi: Any) -> int:
            _, capability = esapi.get_capability(TPM2_CAP.TPM_PROPERTIES, number)
            return int(capability.data.tpmProperties[0].value)

        return self.tpm._run("read a property", read)

    def activate(self) -> None:
        """Use the endorsement key as the agent does when it is provisioned."""
        secret = os.urandom(32)
        credential = self.credential(secret)
        assert self.tpm.activate(*credential) == secret

    def credential(self, secret: bytes) -> tuple[bytes, bytes]:
        public_areas = self.tpm.public_areas()
        made = make_credential(read_public(public_areas.ek), read_public(public_areas.ak).name(), secret)
        return made.id_object, made.encrypted_secret

    def activate_carelessly(self) -> None:
        """Do the same without the shutdown after it."""
        blob, secret = (
            kind.unmarshal(part)[0]
            for kind, part in zip((TPM2B_ID_OBJECT, TPM2B_ENCRYPTED_SECRET), self.credential(bytes(32)), strict=True)
        )
        ak, ek = self.tpm._loaded(_Key.AK, _Key.EK)
        with self.tpm._ek_session() as session:
            self.tpm._run("activate", lambda esapi: esapi.activate_credential(ak, ek, blob, secret, session2=session))

    def lock(self) -> None:
        for _ in range(self.property(PT_MAX_AUTH_FAIL)):
            self.activate_carelessly()
            self.cut()
        assert self.property(PT_LOCKOUT_COUNTER) == self.property(PT_MAX_AUTH_FAIL)


@pytest.fixture
def power(tmp_path: Path) -> Iterator[Power]:
    tmp_path.chmod(0o700)
    simulator = Simulator(tmp_path)
    found = Power(simulator)
    yield found
    found.tpm.close()
    simulator.close()


def test_provisionings_that_end_in_a_power_cut_count_as_no_guess(power: Power) -> None:
    assert power.property(PT_MAX_AUTH_FAIL) < 6, "or six would not be enough to lock it"
    for _ in range(6):
        power.activate()
        power.cut()
        assert power.property(PT_LOCKOUT_COUNTER) == 0


def test_salting_to_the_endorsement_key_counts_as_no_guess(power: Power) -> None:
    """A camera salts at each token, and the key has no noDA."""
    for number in range(6):
        assert power.tpm.unseal(power.tpm.seal(bytes([number]))) == bytes([number])
        power.cut()
        assert power.property(PT_LOCKOUT_COUNTER) == 0


def test_a_locked_tpm_still_seals_and_unseals(power: Power) -> None:
    power.lock()
    assert power.tpm.unseal(power.tpm.seal(b"a secret")) == b"a secret"


def test_a_tpm_locked_by_power_cuts_is_unlocked_by_the_agent_itself(power: Power) -> None:
    power.lock()
    power.activate()
    assert power.property(PT_LOCKOUT_COUNTER) == 0


def test_a_locked_tpm_with_a_lockout_password_is_reported_as_locked(power: Power) -> None:
    power.tpm._run("own", lambda esapi: esapi.hierarchy_change_auth(ESYS_TR.LOCKOUT, b"the owner's"))
    power.lock()
    with pytest.raises(BirthmarkError) as caught:
        power.activate()
    assert caught.value.code == "tpm.lockout"
    assert power.property(PT_LOCKOUT_COUNTER) == power.property(PT_MAX_AUTH_FAIL), "no password was guessed"
