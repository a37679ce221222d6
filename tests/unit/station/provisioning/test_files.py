"""Provisioning files are private, on the disk before their unit is committed, and never overwritten; lists of units."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.errors import BirthmarkError
from shared.types import board_serial
from station.events import Bus
from station.provisioning import files
from station.provisioning.files import Outcome, ProvisioningFiles, Result, read_csr_file, read_list
from station.provisioning.issuance import Issuance
from station.provisioning.offline import CSR_CHARACTERS, OfflineProvisioner, ProvisioningRequest, key_of_csr
from station.registry import queries, revocation
from station.registry.queries import Filter
from tests.harness.bare_station import NOW, BareStation, open_bare_station
from tests.harness.slow_signer import SlowSigner
from tests.harness.soft_device import csr

NUC = "5d" * 32


@pytest.fixture
async def bare_station(tmp_path: Path) -> AsyncIterator[BareStation]:
    (tmp_path / "station").mkdir()
    async with open_bare_station(tmp_path / "station") as bare_station:
        yield bare_station


@pytest.fixture
def made(tmp_path: Path, bare_station: BareStation) -> ProvisioningFiles:
    return ProvisioningFiles(tmp_path / "to" / "units", bare_station.offline_provisioner, bare_station.database)


def content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def count(bare_station: BareStation) -> int:
    async with bare_station.database.read() as connection:
        return await queries.count(connection, Filter())


async def count_all(bare_station: BareStation) -> int:
    """Reservations, too."""
    async with bare_station.database.read() as connection:
        return await queries.count_all(connection)


async def outcomes(made: ProvisioningFiles, *serials: str) -> list[Result]:
    return [result async for result in made.provision_all([ProvisioningRequest(serial) for serial in serials])]


async def test_a_units_file_is_private_and_holds_the_certificate_in_the_registry(
    made: ProvisioningFiles, bare_station: BareStation
) -> None:
    await made.provision(ProvisioningRequest("CAM-1", nuc_hash=NUC))
    async with bare_station.database.read() as connection:
        unit = await queries.by_serial(connection, "CAM-1")
    assert unit.certificate is not None
    path = made.path("CAM-1")
    assert path.name == "provisioning_CAM-1.json"
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    found = content(path)
    assert x509.load_pem_x509_certificate(found["device_certificate"].encode()) == x509.load_der_x509_certificate(
        unit.certificate.der
    )
    assert (found["nuc_hash"], found["table_assignments"]) == (NUC, list(unit.tables))


async def test_a_file_that_cannot_be_written_makes_no_unit(made: ProvisioningFiles, bare_station: BareStation) -> None:
    made.path("CAM-1").parent.rmdir()
    with pytest.raises(BirthmarkError) as caught:
        await made.provision(ProvisioningRequest("CAM-1"))
    assert caught.value.code == "provisioning.file-unusable"
    assert str(made.path("CAM-1")) in caught.value.detail
    assert await count_all(bare_station) == 0


async def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, bare_station: BareStation) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BirthmarkError, match=r"file/units.*provisioning\.file-unusable"):
        ProvisioningFiles(tmp_path / "file" / "units", bare_station.offline_provisioner, bare_station.database)


async def test_a_file_that_is_there_is_moved_aside_and_not_lost(made: ProvisioningFiles) -> None:
    made.path("CAM-1").write_text("of an earlier unit")
    await made.provision(ProvisioningRequest("CAM-1"))
    [aside] = made.path("CAM-1").parent.glob("provisioning_CAM-1.json.replaced-*")
    assert aside.read_text() == "of an earlier unit"
    assert content(made.path("CAM-1"))["device_serial"] == "CAM-1"


async def test_a_half_written_file_of_a_killed_run_does_not_stop_the_next(made: ProvisioningFiles) -> None:
    (made.path("CAM-1").parent / f".provisioning_CAM-1.json.{os.getpid()}").write_text('{"device_ser')
    await made.provision(ProvisioningRequest("CAM-1"))
    assert [file.name for file in made.path("CAM-1").parent.iterdir()] == ["provisioning_CAM-1.json"]


async def test_a_request_that_comes_too_late_leaves_the_quicker_ones_file_alone(
    made: ProvisioningFiles, bare_station: BareStation
) -> None:
    signer = SlowSigner(bare_station.authority.issuer)
    issuance = Issuance(bare_station.config, bare_station.tables, signer, bare_station.database)
    provisioner = OfflineProvisioner(
        bare_station.config, bare_station.secret, issuance, bare_station.tables, bare_station.database, Bus()
    )
    late = ProvisioningFiles(made.path("CAM-1").parent, provisioner, bare_station.database)
    signer.pause()
    request = asyncio.create_task(late.provision(ProvisioningRequest("CAM-1")))
    await signer.hold(request)
    await made.provision(ProvisioningRequest("CAM-1"))
    before = made.path("CAM-1").read_bytes()
    signer.may_sign.set()
    with pytest.raises(BirthmarkError, match=r"registry\.reservation-lost"):
        await request
    assert [file.name for file in made.path("CAM-1").parent.iterdir()] == ["provisioning_CAM-1.json"]
    assert made.path("CAM-1").read_bytes() == before


# --- many at once ---


async def test_each_unit_of_a_list_has_its_result_and_one_failure_stops_none(
    made: ProvisioningFiles, bare_station: BareStation
) -> None:
    results = await outcomes(made, "CAM-1", "bad/serial", "CAM-2")
    assert [(result.serial, result.outcome, result.file) for result in results] == [
        ("CAM-1", Outcome.PROVISIONED, made.path("CAM-1")),
        ("bad/serial", Outcome.FAILED, None),
        ("CAM-2", Outcome.PROVISIONED, made.path("CAM-2")),
    ]
    assert results[1].error is not None
    assert results[1].error.code == "identity.serial-invalid"
    assert await count(bare_station) == 2


async def test_a_list_skips_the_units_that_an_earlier_run_provisioned(made: ProvisioningFiles) -> None:
    await outcomes(made, "CAM-1")
    before = made.path("CAM-1").read_bytes()
    assert [result.outcome for result in await outcomes(made, "CAM-1", "CAM-2")] == [
        Outcome.ALREADY,
        Outcome.PROVISIONED,
    ]
    assert made.path("CAM-1").read_bytes() == before


@pytest.mark.parametrize("text", [None, "{", '{"device_certificate": "another\'s"}'], ids=["gone", "damaged", "other"])
async def test_a_unit_whose_file_is_lost_is_a_failure_and_no_second_unit(
    made: ProvisioningFiles, bare_station: BareStation, text: str | None
) -> None:
    await outcomes(made, "CAM-1")
    made.path("CAM-1").unlink()
    if text is not None:
        made.path("CAM-1").write_text(text)
    [result] = await outcomes(made, "CAM-1")
    assert result.error is not None
    assert result.error.code == "registry.serial-taken"
    assert await count(bare_station) == 1


async def test_a_released_unit_is_provisioned_anew_although_its_file_is_there(
    made: ProvisioningFiles, bare_station: BareStation
) -> None:
    await outcomes(made, "CAM-1")
    async with bare_station.database.write() as connection:
        await revocation.release(connection, "CAM-1", "scrapped", NOW)
    before = content(made.path("CAM-1"))
    [result] = await outcomes(made, "CAM-1")
    assert result.outcome is Outcome.PROVISIONED
    assert content(made.path("CAM-1"))["device_certificate"] != before["device_certificate"]


# --- lists and certificate requests ---


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "units.csv"
    path.write_text(text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BirthmarkError) as caught:
        read_list(path)
    assert caught.value.code == "provisioning.file-unusable"
    return caught.value.detail


def test_a_list_is_read_with_the_csr_files_beside_it(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "b.csr").write_bytes(csr(key, ((NameOID.COMMON_NAME, "B"),)))
    text = f"\ufeffdevice_serial,nuc_hash,csr_file,device_family\r\nA, {NUC} ,,Camera\r\nB,,b.csr,\r\n"
    first, second = read_list(written(tmp_path, text))
    assert first == ProvisioningRequest("A", "Camera", NUC, None)
    assert (second.device_serial, second.device_family, second.nuc_hash) == ("B", None, None)
    assert key_of_csr((second.csr or "").encode(), board_serial("B")) == key.public_key()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "its heading is not of device_serial"),
        ("serial\nA\n", "but: serial"),
        ("device_serial,secret\nA,x\n", "but: device_serial, secret"),
        ("device_serial,device_serial\nA,B\n", "its heading is not of"),
        ("device_serial,nuc_hash\nA\n", "line 2 has more or fewer fields"),
        ("device_serial\nA\nB,C\n", "line 3 has more or fewer fields"),
        ("device_serial\nA\nA\n", "line 3 repeats a serial number"),
        ("device_serial\nA\n\n\nA\n", "line 5 repeats a serial number"),
        ('device_serial\n"A\nB\nC\n', "line 2 is not CSV"),
        ('"device_serial\nA\n', "line 1 is not CSV"),
        ("device_serial,csr_file\nA,none.csr\n", "No such file"),
    ],
    ids=[
        "empty",
        "no serial",
        "unknown",
        "twice",
        "too few",
        "too many",
        "repeated",
        "after empty lines",
        "open quote",
        "open heading",
        "no request",
    ],
)
def test_a_malformed_list_is_refused_and_its_line_named(tmp_path: Path, text: str, told: str) -> None:
    path = written(tmp_path, text)
    detail = refusal(path)
    assert detail.startswith(str(tmp_path))
    assert told in detail


def test_a_list_is_read_up_to_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "device_serial\nA\n")
    monkeypatch.setattr(files, "LIST_BYTES", path.stat().st_size)
    assert len(read_list(path)) == 1
    monkeypatch.setattr(files, "LIST_BYTES", path.stat().st_size - 1)
    assert "is larger than" in refusal(path)


def test_a_request_is_read_as_pem_or_der(tmp_path: Path) -> None:
    der = csr(ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "der").write_bytes(der)
    assert read_csr_file(tmp_path / "der") == base64.b64encode(der).decode()
    (tmp_path / "pem").write_text("-----BEGIN CERTIFICATE REQUEST-----\n")
    assert read_csr_file(tmp_path / "pem") == "-----BEGIN CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize("name", ["none", "with\0nul", "large", "."])
def test_a_request_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "large").write_bytes(bytes(CSR_CHARACTERS + 1))
    with pytest.raises(BirthmarkError) as caught:
        read_csr_file(tmp_path / name)
    assert caught.value.code == "provisioning.file-unusable"
    assert str(tmp_path) in caught.value.detail
