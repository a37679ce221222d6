"""The agent's TPM operations, with a simulator; `tests/integration` tests those of the station."""

from __future__ import annotations

import copy
import hashlib
import hmac
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from device_agent.storage.tpm_blob import Blob
from device_agent.tpm import Simulator, Tpm
from device_agent.tpm.connection import handles
from shared.errors import BirthmarkError
from shared.types import TableKey
from station.attestation.ek.templates import template_of
from station.attestation.tpm2.credential import make_credential
from station.attestation.tpm2.structures import read_certified, read_public
from station.attestation.tpm2.wrapping import wrap_table_key
from tests.harness import soft_device as soft

ROOM = 3
"""The number of objects that every TPM can hold at a time: Part 2, TPM_PT_HR_TRANSIENT_MIN."""

ECDSA = ec.ECDSA(hashes.SHA256())


@pytest.fixture(scope="module")
def tpm(simulator: Simulator) -> Iterator[Tpm]:
    tpm = Tpm.open(simulator.tcti)
    yield tpm
    tpm.close()


def code(action: Callable[[], object]) -> str:
    with pytest.raises(BirthmarkError) as caught:
        action()
    return caught.value.code


def loaded(tpm: Tpm) -> int:
    return len(tpm._connection.run("look", lambda esapi: handles(esapi, 0x80000000)))


def test_a_tpm_says_who_made_it(tpm: Tpm) -> None:
    assert tpm.manufacturer == "IBM"  # libtpms
    assert tpm.firmware.count(".") == 3


def test_our_keys_are_four_and_the_same_when_the_tpm_is_opened_again(simulator: Simulator) -> None:
    public_areas = []
    for _ in range(2):
        again = Tpm.open(simulator.tcti)
        public_areas.append(again.public_areas())
        again.close()
    assert public_areas[0] == public_areas[1]
    keys = (public_areas[0].ek, public_areas[0].ak, public_areas[0].srk, public_areas[0].device)
    assert len({read_public(key).name() for key in keys}) == 4
    x509.load_der_x509_certificate(public_areas[0].ek_certificate.rstrip(b"\0"))


def test_however_many_keys_are_used_there_is_room_for_another_in_the_tpm(tpm: Tpm) -> None:
    blob = tpm.seal(b"a secret")
    for _ in range(3):
        tpm.public_areas()
        tpm.certify_storage_key(bytes(32))
        tpm.certify_blob(blob, bytes(32))
        tpm.sign(bytes(32))
        assert loaded(tpm) < ROOM


# --- credential, statements, signatures ---


def credential(tpm: Tpm, ak_name: bytes | None = None) -> tuple[bytes, bytes]:
    public_areas = tpm.public_areas()
    name = ak_name or read_public(public_areas.ak).name()
    made = make_credential(read_public(public_areas.ek), name, soft.SECRET)
    return made.id_object, made.encrypted_secret


def test_the_secret_of_a_credential_is_given_back(tpm: Tpm) -> None:
    assert tpm.activate(*credential(tpm)) == soft.SECRET


@pytest.mark.parametrize("change", [lambda octets: octets[:-1], lambda octets: octets + b"\0", lambda _: b""])
def test_a_malformed_credential_is_the_stations_fault(tpm: Tpm, change: Callable[[bytes], bytes]) -> None:
    id_object, secret = credential(tpm)
    assert code(lambda: tpm.activate(change(id_object), secret)) == "session.challenge-malformed"
    assert code(lambda: tpm.activate(id_object, change(secret))) == "session.challenge-malformed"


def test_a_credential_for_another_attestation_key_stays_shut(tpm: Tpm) -> None:
    made = credential(tpm, soft.Key(soft.AK).name)
    assert code(lambda: tpm.activate(*made)) == "session.challenge-malformed"
    assert loaded(tpm) < ROOM


def test_a_statement_names_the_key_and_what_it_was_asked_with(tpm: Tpm) -> None:
    public_areas = tpm.public_areas()
    question = hashlib.sha256(b"this session").digest()
    for certify, public in ((tpm.certify_device_key, public_areas.device), (tpm.certify_storage_key, public_areas.srk)):
        statement = read_certified(certify(question).attest)
        assert statement.name == read_public(public).name()
        assert statement.extra_data == question


def test_the_device_key_signs_what_cryptography_verifies(tpm: Tpm) -> None:
    digest = hashlib.sha256(b"a photo").digest()
    public = tpm.device_public_key()
    public.verify(tpm.sign(digest), b"a photo", ECDSA)
    public.verify(tpm.device_key().sign(b"a photo", ECDSA), b"a photo", ECDSA)
    with pytest.raises(InvalidSignature):
        public.verify(tpm.sign(digest), b"another photo", ECDSA)


def test_the_device_key_signs_with_sha_256_and_has_no_private_value_to_give(tpm: Tpm) -> None:
    key = tpm.device_key()
    assert (key.curve.name, key.key_size, key.public_key()) == ("secp256r1", 256, tpm.device_public_key())
    with pytest.raises(TypeError):
        key.sign(b"a photo", ec.ECDSA(hashes.SHA384()))
    for ask in (
        key.private_numbers,
        lambda: key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()),
        lambda: key.exchange(ec.ECDH(), key.public_key()),
    ):
        assert code(ask) == "identity.not-exportable"
    assert copy.deepcopy(key) is copy.copy(key) is key


# --- secrets ---


def test_sealed_data_is_unsealed_and_is_not_in_the_blob(tpm: Tpm) -> None:
    secret = bytes(range(32))
    blob = tpm.seal(secret)
    assert tpm.unseal(blob) == secret
    assert secret not in blob.public + blob.private


@pytest.mark.parametrize("at", [-1, 10])
def test_a_changed_blob_opens_in_no_tpm(tpm: Tpm, at: int) -> None:
    blob = tpm.seal(b"a secret")
    private = bytearray(blob.private)
    private[at] ^= 1
    assert code(lambda: tpm.unseal(Blob(public=blob.public, private=bytes(private)))) == "tpm.not-this-one"
    assert code(lambda: tpm.unseal(Blob(public=blob.public, private=blob.private + b"\0"))) == "identity.damaged"


def test_an_imported_key_derives_what_software_derives(tpm: Tpm) -> None:
    wrapped = wrap_table_key(read_public(tpm.public_areas().srk), TableKey(b"k" * 32))
    blob = tpm.import_key(wrapped.public, wrapped.duplicate, wrapped.seed)
    assert tpm.hmac(blob, b"data") == hmac.digest(b"k" * 32, b"data", "sha256")
    assert read_certified(tpm.certify_blob(blob, bytes(32)).attest).name == wrapped.name


def test_a_key_wrapped_for_another_tpm_or_malformed_is_not_imported(tpm: Tpm) -> None:
    other = wrap_table_key(read_public(soft.Key(soft.SRK, soft.AES_128, soft.NOTHING).public), TableKey(b"k" * 32))
    own = wrap_table_key(read_public(tpm.public_areas().srk), TableKey(b"k" * 32))
    for public, duplicate, seed in (
        (other.public, other.duplicate, other.seed),
        (own.public[:-1], own.duplicate, own.seed),
        (own.public, own.duplicate + b"\0", own.seed),
        (own.public, own.duplicate, b""),
    ):
        assert code(lambda: tpm.import_key(public, duplicate, seed)) == "trust.table-not-for-this-tpm"  # noqa: B023


# --- the endorsement key that a station asks for ---


def test_a_tpm_shows_the_endorsement_key_that_is_asked_for_and_proves_it(simulator: Simulator) -> None:
    tpm = Tpm.open(simulator.tcti)
    try:
        kinds: dict[str, set[bytes]] = {}
        for wanted in ("H-3", "L-1", "H-3", "L-1"):
            public_areas = tpm.public_areas(wanted)
            template = template_of(read_public(public_areas.ek))
            assert template is not None
            assert template.name == wanted
            certified = x509.load_der_x509_certificate(public_areas.ek_certificate.rstrip(b"\0")).public_key()
            assert certified == read_public(public_areas.ek).key()
            kinds.setdefault(wanted, set()).add(public_areas.ek)
            made = make_credential(read_public(public_areas.ek), read_public(public_areas.ak).name(), b"s" * 32)
            assert tpm.activate(made.id_object, made.encrypted_secret) == b"s" * 32
            assert tpm.public_areas() == public_areas
        assert [len(keys) for keys in kinds.values()] == [1, 1]
    finally:
        tpm.close()


@pytest.mark.parametrize("wanted", ["L-2", "H-9", "", "EK-RSA2048"])
def test_a_tpm_without_a_certificate_for_it_shows_the_one_it_has(simulator: Simulator, wanted: str) -> None:
    tpm = Tpm.open(simulator.tcti)
    try:
        template = template_of(read_public(tpm.public_areas(wanted).ek))
        assert template is not None
        assert template.name == "H-3"
    finally:
        tpm.close()
