"""tpm2-tools, an independent implementation, inspects the loaded keys of a provisioned unit."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from device_agent.session.agent_session import AgentSession
from device_agent.storage.disk import Disk
from device_agent.storage.identity import IdentityStore, StoredTable
from device_agent.tpm import Simulator, Tpm
from device_agent.tpm.tpm import _Key
from shared.birthmark.derivation import expand_input, token_key
from shared.types import TableId, key_index
from station.attestation.tpm2.structures import Alg, object_name, read_public
from tests.harness.recorded_station import RecordedStation, context, open_recorded_station, private
from virtual.timeouts import TIMEOUT_SECONDS

POLICY_FAILED = "0x99D"
"""TPM_RC_POLICY_FAIL: the session does not satisfy the key's policy; no session satisfies a key without a policy."""
WRONG_KIND = "0x182"
"""TPM_RC_ATTRIBUTES for the first handle."""


@dataclass(frozen=True)
class Witness:
    simulator: Simulator
    folder: Path

    def asks(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**os.environ, "TPM2TOOLS_TCTI": self.simulator.tcti},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
        )

    def sees(self, *command: str) -> str:
        answered = self.asks(*command)
        assert answered.returncode == 0, answered.stderr
        return answered.stdout

    def loaded(self) -> dict[bytes, tuple[str, set[str]]]:
        """Return handle and attributes of every loaded object by its TPM name."""
        found = {}
        for handle in re.findall(r"0x[0-9A-Fa-f]+", self.sees("tpm2_getcap", "handles-transient")):
            told = self.sees("tpm2_readpublic", "-c", handle)
            name, attributes = re.search(r"^name: (\w+)$", told, re.M), re.search(r"^  value: (.*\|.*)$", told, re.M)
            assert name
            assert attributes
            found[bytes.fromhex(name[1])] = handle, set(attributes[1].split("|"))
        return found

    def duplicates(self, handle: str) -> subprocess.CompletedProcess[str]:
        """Call TPM2_Duplicate with the only authorisation it accepts: a policy session for that command."""
        self.sees("tpm2_startauthsession", "-S", "session", "--policy-session")
        try:
            self.sees("tpm2_policycommandcode", "-S", "session", "-L", "policy", "TPM2_CC_Duplicate")
            return self.asks(
                *("tpm2_duplicate", "-C", "null", "-c", handle, "-G", "null"),
                *("-p", "session:session", "-r", "private", "-s", "seed"),
            )
        finally:
            self.sees("tpm2_flushcontext", "session")


@pytest.fixture
def witness(simulator: Simulator, tmp_path: Path) -> Witness:
    return Witness(simulator, private(tmp_path / "witness"))


@pytest.fixture
def station_under_test(tmp_path: Path) -> Iterator[RecordedStation]:
    with open_recorded_station(tmp_path) as opened:
        yield opened


@pytest.fixture
def table(station_under_test: RecordedStation, tpm: Tpm, tmp_path: Path) -> StoredTable:
    """A table of a unit provisioned over a cable."""
    store = IdentityStore(private(tmp_path / "agent"), Disk())
    outcome = station_under_test.meet(lambda: AgentSession(tpm, store, context()))
    assert outcome.identity is not None, outcome
    return outcome.identity.secrets.tables[0]


def test_the_keys_of_a_unit_pass_the_stations_checks(tpm: Tpm, witness: Witness) -> None:
    public_areas = tpm.public_areas()
    fixed = {"fixedtpm", "fixedparent", "sensitivedataorigin", "userwithauth", "noda"}
    for key, public, attributes in (
        (_Key.DEVICE, public_areas.device, fixed | {"sign"}),
        (_Key.AK, public_areas.ak, fixed | {"restricted", "sign"}),
        (_Key.SRK, public_areas.srk, fixed | {"restricted", "decrypt"}),
    ):
        tpm._loaded(key)
        _, found = witness.loaded()[read_public(public).name()]
        assert found == attributes


def test_a_table_key_signs_and_cannot_be_read_or_duplicated(
    station_under_test: RecordedStation, tpm: Tpm, table: StoredTable, witness: Witness
) -> None:
    name = object_name(Alg.SHA256, table.key.public[2:])
    with tpm._loaded_blob(table.key):
        handle, attributes = witness.loaded()[name]
        assert attributes == {"userwithauth", "noda", "sign"}
        unsealed, duplicated = witness.asks("tpm2_unseal", "-c", handle), witness.duplicates(handle)
        message = expand_input(key_index(7))
        (witness.folder / "message").write_bytes(message)
        witness.sees("tpm2_hmac", "-c", handle, "-o", "hmac", "message")
    assert (unsealed.returncode, duplicated.returncode) == (1, 1)
    assert WRONG_KIND in unsealed.stderr
    assert POLICY_FAILED in duplicated.stderr
    assert not (witness.folder / "private").exists()
    master = station_under_test.station.tables.master_key(TableId(table.table_id))
    made = (witness.folder / "hmac").read_bytes()
    assert made == token_key(master, key_index(7)).secret()


def test_the_device_key_cannot_be_duplicated(tpm: Tpm, witness: Witness) -> None:
    name = read_public(tpm.public_areas().device).name()
    tpm._loaded(_Key.DEVICE)
    handle, _ = witness.loaded()[name]
    duplicated = witness.duplicates(handle)
    assert duplicated.returncode == 1
    assert POLICY_FAILED in duplicated.stderr
    assert not (witness.folder / "private").exists()


def test_the_same_commands_duplicate_a_key_that_may_leave(simulator: Simulator, witness: Witness) -> None:
    """Control for the failures above: these commands duplicate a key that permits it."""
    Tpm.open(simulator.tcti).close()  # flushes loaded objects
    witness.sees("tpm2_startauthsession", "-S", "trial")
    witness.sees("tpm2_policycommandcode", "-S", "trial", "-L", "policy", "TPM2_CC_Duplicate")
    witness.sees("tpm2_flushcontext", "trial")
    witness.sees("tpm2_createprimary", "-G", "ecc", "-c", "parent")
    may_leave = ("-a", "sensitivedataorigin|userwithauth|sign", "-L", "policy")
    witness.sees("tpm2_create", "-C", "parent", "-G", "hmac", *may_leave, "-u", "public", "-r", "wrapped")
    witness.sees("tpm2_flushcontext", "-t")
    witness.sees("tpm2_load", "-C", "parent", "-u", "public", "-r", "wrapped", "-c", "key")
    witness.sees("tpm2_flushcontext", "-t")
    duplicated = witness.duplicates("key")
    assert duplicated.returncode == 0, duplicated.stderr
    assert (witness.folder / "private").stat().st_size > 32
