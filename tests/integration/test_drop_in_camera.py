"""Birthmark's camera, as its interface describes it, with what this station provisions: over HTTP and as a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.harness.public_birthmark import FIELDS, Aggregator, Camera, derived_key
from tests.harness.public_birthmark import request as ask
from virtual.station import VirtualStation, run_station

VECTORS = (
    (bytes(32), 0, "d5bd264ea28a51c944e81eb31eab7d755623cd7bba2c0cf5253f2668ce870b38"),
    (bytes.fromhex("0123456789abcdef" * 4), 0, "d699c89dd9100a7ca7305be1afec0c2fcaa3ad2a0038e90218e52e52adae9af9"),
    (b"\xff" * 32, 999, "ad3c454a3fe61dc48b070209137f758e30977c749259bd9bab7f9ab51316a721"),
    (bytes(32), 500, "2692f4e706fade25db02413d0897937204e16751f6d9ec480beec2d98401aa4b"),
    (bytes(range(32)), 42, "ef6ef7b7f2c129b70241114add1d9f7644fa72ce3f0ce7107467114e93f8c20b"),
)


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualStation]:
    folder = tmp_path_factory.mktemp("workspace")
    with VirtualStation(folder / "station", str(folder / "no-port")) as station:
        station.init("--tables", "250")
        station.start()
        yield station


@pytest.fixture(scope="module", params=["http", "file"])
def provisioning(
    request: pytest.FixtureRequest, station: VirtualStation, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """What a camera is given, by HTTP and by the command."""
    data_dir = ("--data-dir", str(station.data_dir))
    if request.param == "file":
        folder = tmp_path_factory.mktemp("files")
        run_station("provision", "--serial", "by-file", "--output", str(folder), *data_dir)
        return dict(json.loads((folder / "provisioning_by-file.json").read_text()))
    token = station.make_token("provision")
    answer = ask("POST", f"{station.address}api/v1/devices/provision", {"device_serial": "by-http"}, token)
    assert answer.status == 201
    return dict(answer.json())


def test_the_camera_of_these_tests_derives_keys_and_seals_tokens_as_the_interface_says() -> None:
    for master_key, index, key in VECTORS:
        assert derived_key(master_key, index).hex() == key
    sealed = AESGCM(bytes.fromhex(VECTORS[1][2])).encrypt(bytes(range(12)), bytes(range(32)), None)
    assert sealed.hex() == (
        "b6cf15a3945b37df4168c978f14958952f5c9012c2c40877a374ebeda42fd5235d57c67471ff18399dd9da205dfd31d3"
    )


def test_the_camera_loads_what_it_is_given(provisioning: dict[str, Any]) -> None:
    Camera(provisioning)
    for name in FIELDS:
        with pytest.raises(ValueError, match="missing"):
            Camera({key: value for key, value in provisioning.items() if key != name})
    assert provisioning["table_assignments"] == sorted(set(provisioning["table_assignments"]))


def test_all_its_tokens_and_bundles_are_valid(provisioning: dict[str, Any], station: VirtualStation) -> None:
    camera = Camera(provisioning)
    aggregator = Aggregator(f"{station.address}validate")
    assert [aggregator.validate_camera_token(camera.token()) for _ in range(64)] == [True] * 64
    assert [aggregator.validate_legacy(camera.legacy_submission()) for _ in range(64)] == [True] * 64
    assert [aggregator.validate_bundle(camera.bundle()) for _ in range(8)] == [True] * 8
    assert aggregator.faults == []


def test_the_certificate_holds_what_birthmarks_parser_wants(provisioning: dict[str, Any]) -> None:
    camera = Camera(provisioning)
    held = {
        extension.oid.dotted_string.removeprefix("1.3.6.1.4.1.60000.1."): extension.value.value
        for extension in camera.certificate.extensions
        if isinstance(extension.value, x509.UnrecognizedExtension)
    }
    assert sorted(held) == ["1", "2", "3", "4", "5", "6"]
    assert held["2"] == b"http://127.0.0.1:8001/validate-cert"
    assert (len(held["3"]), held["6"]) == (60, b"Raspberry Pi")
    table, index = (int.from_bytes(held[name], "big") for name in ("4", "5"))
    assert table in camera.tables
    assert index < 1000
    ciphertext, tag, nonce = held["3"][:32], held["3"][32:48], held["3"][48:]
    assert AESGCM(camera.master_keys[table]).decrypt(nonce, ciphertext + tag, None) == camera.nuc_hash
