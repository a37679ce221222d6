"""Birthmark's aggregator, as its interface describes it, against the running service: all three of its submissions.

It takes any status but 200 for a fault of the authority, so a token that fails must not be one."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.harness.public_birthmark import Aggregator, Camera, request
from virtual.station import VirtualStation

OWNER = "fedcba9876543210" * 4
ENDPOINTS = ("validate", "validate-legacy", "validate/", "validate-legacy/")
"""What `SMA_VALIDATION_ENDPOINT` may end with; the published compose file has the second."""


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VirtualStation]:
    folder = tmp_path_factory.mktemp("workspace")
    with VirtualStation(folder / "station", str(folder / "no-port")) as station:
        station.init("--tables", "250")
        station.start()
        yield station


@pytest.fixture(scope="module")
def token(station: VirtualStation) -> str:
    return station.make_token()


@pytest.fixture(scope="module")
def camera(station: VirtualStation, token: str) -> Camera:
    return Camera(provisioned(station, token, "camera-0001"))


def provisioned(station: VirtualStation, token: str, serial: str) -> dict[str, Any]:
    answer = request("POST", f"{station.address}api/v1/devices/provision", {"device_serial": serial}, token)
    assert answer.status == 201, answer.body
    return dict(answer.json())


@pytest.fixture(params=ENDPOINTS)
def aggregator(request: pytest.FixtureRequest, station: VirtualStation) -> Iterator[Aggregator]:
    aggregator = Aggregator(station.address + request.param)
    yield aggregator
    assert aggregator.faults == []


def test_every_submission_of_a_genuine_camera_is_valid_at_every_address(aggregator: Aggregator, camera: Camera) -> None:
    assert aggregator.validate_camera_token(camera.token())
    assert all(aggregator.validate_legacy(camera.legacy_submission(which)) for which in (0, 1, 2))
    assert aggregator.validate_bundle(camera.bundle())
    for encoding in (Encoding.PEM, Encoding.DER):
        for owner in (None, OWNER):
            assert aggregator.validate_bundle(camera.bundle_of_lines(owner, encoding))


def test_what_nobody_proved_is_not_valid_and_no_fault_of_the_authority(aggregator: Aggregator, camera: Camera) -> None:
    submission = camera.legacy_submission(0)
    random_bytes = {**submission, "encrypted_nuc_token": base64.b64encode(os.urandom(60)).decode()}
    assert not aggregator.validate_legacy(random_bytes)
    assert not aggregator.validate_legacy(
        {**submission, "key_indices": [(submission["key_indices"][0] + 1) % 1000] * 3}
    )
    other = [table for table in range(250) if table not in camera.tables][:3]
    assert not aggregator.validate_legacy({**submission, "table_references": other})
    assert not aggregator.validate_legacy({**submission, "encrypted_nuc_token": "no base64"})
    assert not aggregator.validate_camera_token({**camera.token(), "ciphertext": os.urandom(32).hex()})
    assert not aggregator.validate_bundle({**camera.bundle(), "owner_hash": OWNER})
    assert not aggregator.validate_bundle({**camera.bundle(), "timestamp": 1})


def test_what_does_not_fit_is_not_valid_and_no_fault_of_the_authority(aggregator: Aggregator, camera: Camera) -> None:
    good = camera.token()
    for change in (
        {"ciphertext": "ab" * 64},  # as the aggregator's own mock sends it
        {"ciphertext": "odd"},
        {"auth_tag": ""},
        {"table_id": 2500},
        {"key_index": 1000},
        {"key_index": None},
    ):
        assert not aggregator.validate_camera_token({**good, **change})
    assert not aggregator.validate_camera_token({})
    assert not aggregator.validate_bundle({**camera.bundle(), "image_hash": "ab"})
    assert not aggregator.validate_bundle({**camera.bundle(), "camera_cert": "no certificate"})
    assert not aggregator.validate_legacy({**camera.legacy_submission(), "table_references": [1, 2]})


def test_the_name_of_the_authority_may_be_long_and_changes_nothing(aggregator: Aggregator, camera: Camera) -> None:
    for name in ("", "CANON_001", "X" * 4096):
        assert aggregator.validate_camera_token(camera.token(), name)


def test_a_token_is_valid_again_until_its_unit_is_blacklisted_and_that_counts_at_once(
    station: VirtualStation, token: str
) -> None:
    aggregator = Aggregator(f"{station.address}validate")
    camera = Camera(provisioned(station, token, "camera-0002"))
    used, legacy, bundle = camera.token(), camera.legacy_submission(), camera.bundle()

    def verdicts() -> list[bool]:
        return [
            aggregator.validate_camera_token(used),
            aggregator.validate_legacy(legacy),
            aggregator.validate_bundle(bundle),
        ]

    assert verdicts() == verdicts() == [True] * 3
    address = f"{station.address}api/admin/blacklist/{camera.serial}"
    assert request("POST", address, token=token).status == 200
    assert verdicts() == [False] * 3
    assert request("DELETE", address, token=token).status == 200
    assert verdicts() == [True] * 3
    assert aggregator.faults == []


def test_no_submission_is_logged(station: VirtualStation, camera: Camera) -> None:
    before = station.log.stat().st_size
    aggregator = Aggregator(f"{station.address}validate-legacy")
    aggregator.validate_legacy(camera.legacy_submission())
    aggregator.validate_legacy({**camera.legacy_submission(), "key_indices": [0, 0, 0]})
    aggregator.validate_bundle(camera.bundle())
    assert station.log.read_text()[before:] == ""
