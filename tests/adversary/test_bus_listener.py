"""Who only listens on the TPM's bus learns no secret, from the first provisioning to the last token."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from device_agent.camera import Camera
from device_agent.storage.disk import Disk
from device_agent.storage.identity import Identity, IdentityStore
from device_agent.tpm import Simulator, Tpm
from shared.birthmark.derivation import extract, token_key
from shared.protocol.messages import Proof
from shared.types import TableId, key_index
from tests.harness.recorded_station import RecordedStation, open_recorded_station, private
from tests.harness.tpm_bus import TpmBus, recorded_bus
from virtual.cable import End
from virtual.pi import VirtualPi, run_agent


@pytest.mark.attack("listens on the pins of a TPM hat while a camera is provisioned and used")
def test_the_bus_of_a_tpm_reveals_no_secret(
    simulator: Simulator, tmp_path: Path, got: Callable[[str], None]
) -> None:
    pi = VirtualPi(private(tmp_path / "pi"), 1)
    pi.capture()
    clear_map = pi.nuc_map.read_bytes()
    with (
        open_recorded_station(private(tmp_path / "station")) as station,
        tempfile.TemporaryDirectory() as sockets,
        recorded_bus(simulator.tcti, Path(sockets)) as bus,
    ):
        activated = [provision(station, pi, bus, map_given=True), provision(station, pi, bus, map_given=False)]
        tokens = use(pi, bus)
        secrets = secrets_of(pi, simulator, station, tokens)
    secrets |= {f"secret of activation {number}": secret for number, secret in enumerate(activated, 1)}
    assert secrets["NUC hash"] == hashlib.sha256(clear_map).digest()

    read = sorted(name for name, secret in secrets.items() if bus.holds(secret))
    assert read == []
    assert len(bus.commands) > 10_000, "what was recorded is what the agent did"
    heard = len(bus.commands) + len(bus.answers)
    got(f"{len(read)} of {len(secrets)} secrets in {heard:,} bytes of two provisionings, two tokens, an export and a check")


def provision(station: RecordedStation, pi: VirtualPi, bus: TpmBus, *, map_given: bool) -> bytes:
    """Provision the Pi with the agent's command. Returns the activated credential's secret."""
    nuc_map = ["--nuc-map", str(pi.nuc_map)] if map_given else []
    with station.plugged() as served:
        served.begin()
        ended = run_agent(
            "run",
            *("--once", "--wait", "20", "--port", str(served.port), "--serial", pi.serial),
            *("--state-dir", str(pi.state_dir), "--tpm", bus.tcti, *nuc_map),
        )
        served.end()
    assert ended.returncode == 0
    [proof] = [message for message in served.recording.messages(End.PI) if isinstance(message, Proof)]
    return proof.secret


def use(pi: VirtualPi, bus: TpmBus) -> list[dict[str, int]]:
    """Use the camera with each command that uses its TPM. Returns the tokens."""
    here = ("--state-dir", str(pi.state_dir), "--tpm", bus.tcti)
    (pi.directory / "file").write_text("{}")
    run_agent("sign", str(pi.directory / "file"), *here)
    run_agent("sign", "--bundle", str(pi.directory / "file"), *here)
    run_agent("export", "--format", "provisioning-json", "--output", str(pi.directory / "exported"), *here)
    run_agent("nuc", "check", "--from", f"simulator:{pi.number}", *here)
    return [json.loads(run_agent("token", "--index", index, *here).stdout) for index in ("7", "999")]


def secrets_of(
    pi: VirtualPi, simulator: Simulator, station: RecordedStation, tokens: list[dict[str, int]]
) -> dict[str, bytes]:
    """Read what must stay secret past the recorder, from the TPM itself and the station."""
    identity = IdentityStore(pi.state_dir, Disk()).load()
    assert identity is not None
    tpm = Tpm.open(simulator.tcti)
    try:
        secrets = {
            "NUC hash": Camera(identity, tpm).nuc_hash().secret(),
            "key of the NUC map": tpm.unseal(identity.sealed_map.key),
        }
    finally:
        tpm.close()
    secrets |= table_secrets(identity, station)
    for token in tokens:
        table, index = TableId(token["table_id"]), key_index(token["key_index"])
        secrets[f"token key {index} of table {table}"] = token_key(station.station.tables.master_key(table), index).secret()
    return secrets


def table_secrets(identity: Identity, station: RecordedStation) -> dict[str, bytes]:
    secrets = {}
    for table in map(TableId, identity.about.table_ids):
        master = station.station.tables.master_key(table)
        secrets |= {f"master key of table {table}": master.secret(), f"key of table {table}": extract(master).secret()}
    return secrets
