"""Who only listens on the TPM's bus learns no secret, from the first provisioning to the last token."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_agent.camera import Camera
from device_agent.cli import main
from device_agent.storage.disk import Disk
from device_agent.storage.identity import Identity, IdentityStore
from device_agent.tpm import Simulator, Tpm
from shared.birthmark.derivation import extract, token_key
from shared.protocol.messages import Proof
from shared.types import TableId, key_index
from tests.harness.recorded_station import RecordedStation, open_recorded_station, private
from tests.harness.tpm_bus import TpmBus, recorded_bus
from virtual.cable import End
from virtual.pi import VirtualPi


@pytest.fixture
def bus(simulator: Simulator) -> Iterator[TpmBus]:
    with tempfile.TemporaryDirectory() as sockets, recorded_bus(simulator.tcti, Path(sockets)) as bus:
        yield bus


@pytest.mark.attack("listens on the pins of a TPM hat while a camera is set up, provisioned and used")
def test_the_bus_of_a_tpm_reveals_no_secret(
    bus: TpmBus, simulator: Simulator, tmp_path: Path, got: Callable[[str], None]
) -> None:
    pi = VirtualPi(private(tmp_path / "pi"), 1)
    agent("nuc", "simulate", "--seed", str(pi.number), "--output", str(pi.nuc_map))
    with open_recorded_station(private(tmp_path / "station")) as station:
        set_up(pi, station, bus)
        activated = [provision(station, pi, bus, "--nuc-map", str(pi.nuc_map)), provision(station, pi, bus)]
        agent("reset", "--yes", "--state-dir", str(pi.state_dir))
        activated.append(provision(station, pi, bus))
        tokens = use(pi, bus)
        identity = IdentityStore(pi.state_dir, Disk()).load()
        assert identity is not None
        secrets = secrets_in_the_tpm(identity, simulator) | secrets_of_the_tables(identity, station, tokens)
    secrets |= {f"secret of activation {number}": secret for number, secret in enumerate(activated, 1)}
    assert len(secrets) == 2 + 3 * 2 + len(tokens) + len(activated)

    read = sorted(name for name, secret in secrets.items() if bus.holds(secret))
    got(f"{len(read)} of {len(secrets)} secrets in {len(bus.commands) + len(bus.answers):,} recorded bytes")
    assert read == []
    public = identity.chain[0].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:33]
    assert bus.holds(public), "what is public is found"
    assert bus.holds(identity.secrets.nuc_hash.private[2:]), "and so is what only the TPM opens"


def test_the_recorder_reads_what_is_not_encrypted(bus: TpmBus) -> None:
    """Control for the test above: the same secret, once without the agent's sessions and once with them."""
    secret = os.urandom(32)
    tpm = Tpm.open(bus.tcti)
    try:
        blob = tpm.seal(secret)
        assert tpm.unseal(blob) == secret
        assert not bus.holds(secret)
        with tpm._loaded_blob(blob) as handle:
            tpm._run("unseal in the clear", lambda esapi: esapi.unseal(handle))
    finally:
        tpm.close()
    assert bus.holds(secret)


def agent(*arguments: str) -> str:
    """Run a command of the agent, in this process. Returns what it prints."""
    ended = CliRunner().invoke(main, list(arguments))
    assert ended.exit_code == 0, ended.output
    return ended.stdout


def set_up(pi: VirtualPi, station: RecordedStation, bus: TpmBus) -> None:
    tree = pi.directory / "tree"
    for name in ("etc/default", "boot/firmware", "var/lib"):
        (tree / name).mkdir(parents=True)
    (tree / "boot/firmware/config.txt").touch()
    (tree / "etc/passwd").write_text(f"birthmark-agent:x:{os.getuid()}:{os.getgid()}::/:/bin/false\n")
    root = station.station.data_dir / "authority" / "root.pem"
    told = agent("setup", "--prefix", str(tree), "--root", str(root), "--tpm", bus.tcti)
    assert "IBM, firmware" in told


def provision(station: RecordedStation, pi: VirtualPi, bus: TpmBus, *options: str) -> bytes:
    """Provision the Pi with the agent's command. Returns the activated credential's secret."""
    with station.plugged() as served:
        served.begin()
        agent(
            "run",
            *("--once", "--wait", "20", "--port", str(served.port), "--serial", pi.serial),
            *("--state-dir", str(pi.state_dir), "--tpm", bus.tcti, *options),
        )
        served.end()
    [proof] = [message for message in served.recording.messages(End.PI) if isinstance(message, Proof)]
    return proof.secret


def use(pi: VirtualPi, bus: TpmBus) -> list[dict[str, int]]:
    """Use the camera with each command that uses its TPM. Returns the tokens."""
    here = ("--state-dir", str(pi.state_dir), "--tpm", bus.tcti)
    file = pi.directory / "file"
    file.write_text("{}")
    agent("sign", str(file), *here)
    agent("sign", "--bundle", str(file), *here)
    agent("export", "--format", "provisioning-json", "--output", str(pi.directory / "exported"), *here)
    agent("nuc", "check", "--from", f"simulator:{pi.number}", *here)
    return [json.loads(agent("token", "--index", index, *here)) for index in ("7", "999")]


def secrets_in_the_tpm(identity: Identity, simulator: Simulator) -> dict[str, bytes]:
    """Read them past the recorder."""
    tpm = Tpm.open(simulator.tcti)
    try:
        return {
            "NUC hash": Camera(identity, tpm).nuc_hash().secret(),
            "key of the NUC map": tpm.unseal(identity.sealed_map.key),
        }
    finally:
        tpm.close()


def secrets_of_the_tables(
    identity: Identity, station: RecordedStation, tokens: list[dict[str, int]]
) -> dict[str, bytes]:
    tables = station.station.tables
    secrets: dict[str, bytes] = {}
    for table in map(TableId, identity.about.table_ids):
        master = tables.master_key(table)
        secrets |= {f"master key of table {table}": master.secret(), f"key of table {table}": extract(master).secret()}
    for number, token in enumerate(tokens, 1):
        master = tables.master_key(TableId(token["table_id"]))
        secrets[f"key of token {number}"] = token_key(master, key_index(token["key_index"])).secret()
    return secrets
