"""Only the TPM with the storage key imports a wrapped HMAC key, under the given name."""

from __future__ import annotations

import hashlib

import pytest

from shared.errors import BirthmarkError
from shared.types import TableKey
from station.attestation.tpm2.structures import Alg, Attributes, object_name, read_public
from station.attestation.tpm2.wrapping import wrap_table_key
from tests.fault_injection.soft_tpm import SoftTpm
from tests.harness.soft_device import SECRET, Device

DEVICE = Device()
KEY = TableKey(SECRET)
SRK = read_public(DEVICE.srk.public)


def test_the_tpm_with_the_storage_key_imports_the_key() -> None:
    tpm = SoftTpm()
    wrapped = wrap_table_key(read_public(tpm.public_areas().srk), KEY)
    assert tpm.import_key(wrapped.public, wrapped.duplicate, wrapped.seed).private == KEY.secret()
    assert KEY.secret() not in wrapped.public + wrapped.duplicate + wrapped.seed


def test_another_tpm_imports_nothing() -> None:
    wrapped = wrap_table_key(SRK, KEY)
    with pytest.raises(AssertionError):  # the integrity check of a TPM
        SoftTpm().import_key(wrapped.public, wrapped.duplicate, wrapped.seed)


def test_the_public_area_is_an_hmac_sha256_key_that_any_tpm_may_import() -> None:
    wrapped = wrap_table_key(SRK, KEY)
    area = wrapped.public[2:]
    assert wrapped.public[:2] == len(area).to_bytes(2, "big")
    assert wrapped.name == object_name(Alg.SHA256, area)
    kind, name_alg = area[:2], area[2:4]
    assert (kind, name_alg) == (bytes.fromhex("0008"), bytes.fromhex("000b"))
    attributes = Attributes(int.from_bytes(area[4:8], "big"))
    assert attributes == Attributes.SIGN | Attributes.USER_WITH_AUTH | Attributes.NO_DA
    # authPolicy empty, scheme HMAC with SHA-256, unique of 32 bytes
    assert area[8:16] == bytes.fromhex("00000005000b0020")
    assert len(area) == 16 + hashlib.sha256().digest_size


def test_nothing_is_wrapped_for_a_key_that_cannot_receive() -> None:
    with pytest.raises(BirthmarkError) as caught:
        wrap_table_key(read_public(DEVICE.ak.public), KEY)
    assert caught.value.code == "attestation.not-a-storage-key"


def test_no_two_wraps_of_a_key_are_alike() -> None:
    first, second = (wrap_table_key(SRK, KEY) for _ in range(2))
    for part in ("public", "duplicate", "seed", "name"):
        assert getattr(first, part) != getattr(second, part)
