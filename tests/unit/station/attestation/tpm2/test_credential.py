"""A credential opens in the TPM that holds both the EK and the AK it was made for, and in no other."""

from __future__ import annotations

import os

import pytest

from shared.errors import BirthmarkError
from station.attestation.tpm2.credential import make_credential
from station.attestation.tpm2.structures import read_public
from tests.fault_injection.soft_tpm import SoftTpm
from tests.harness.soft_device import SECRET, Device


def test_the_tpm_with_both_keys_recovers_the_secret() -> None:
    tpm = SoftTpm()
    areas = tpm.public_areas()
    credential = make_credential(read_public(areas.ek), read_public(areas.ak).name(), SECRET)
    assert tpm.activate(credential.id_object, credential.encrypted_secret) == SECRET
    assert SECRET not in credential.id_object + credential.encrypted_secret


def test_a_tpm_with_another_ek_or_another_ak_recovers_nothing() -> None:
    tpm, other = SoftTpm(), SoftTpm()
    mine, theirs = tpm.public_areas(), other.public_areas()
    for ek, ak in ((theirs.ek, mine.ak), (mine.ek, theirs.ak)):
        credential = make_credential(read_public(ek), read_public(ak).name(), SECRET)
        with pytest.raises(AssertionError):  # the integrity check of a TPM
            tpm.activate(credential.id_object, credential.encrypted_secret)


def test_a_secret_of_any_length_up_to_the_name_hash_comes_back_whole() -> None:
    tpm = SoftTpm()
    areas = tpm.public_areas()
    for size in (1, 16, 31, 32):
        secret = os.urandom(size)
        credential = make_credential(read_public(areas.ek), read_public(areas.ak).name(), secret)
        assert tpm.activate(credential.id_object, credential.encrypted_secret) == secret


def test_no_credential_is_made_for_a_key_that_cannot_receive() -> None:
    ak = read_public(Device().ak.public)
    with pytest.raises(BirthmarkError) as caught:
        make_credential(ak, ak.name(), SECRET)
    assert caught.value.code == "attestation.not-a-storage-key"
