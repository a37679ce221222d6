"""The agent's TPM operations, with a simulator; `tests/integration` tests those of the station."""

from __future__ import annotations

import copy
import hashlib
import hmac
from collections.abc import Callable, Iterator

import msgspec
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tpm2_pytss import ESAPI, ESYS_TR, TPM2B_SENSITIVE_CREATE, TSS2_Exception

from device_agent.storage.tpm_blob import Blob
from device_agent.tpm import Simulator, Tpm, templates
from device_agent.tpm import tpm as module
from device_agent.tpm.connection import handles
from shared.ek_chain import certificates_in
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


def sessions(tpm: Tpm) -> int:
    return len(tpm._connection.run("look", lambda esapi: handles(esapi, 0x02000000)))


def test_a_tpm_says_who_made_it(tpm: Tpm) -> None:
    assert tpm.manufacturer == "IBM"  # libtpms
    assert tpm.firmware.count(".") == 3


def certificate_in(content: bytes) -> x509.Certificate:
    """Of an NV index: padding follows it, and its own last byte may be a zero."""
    der, *_ = certificates_in(content)
    return x509.load_der_x509_certificate(der)


def test_our_keys_are_four_and_the_same_when_the_tpm_is_opened_again(simulator: Simulator) -> None:
    public_areas = []
    for _ in range(2):
        again = Tpm.open(simulator.tcti)
        public_areas.append(again.public_areas())
        again.close()
    assert public_areas[0] == public_areas[1]
    keys = (public_areas[0].ek, public_areas[0].ak, public_areas[0].srk, public_areas[0].device)
    assert len({read_public(key).name() for key in keys}) == 4
    assert certificate_in(public_areas[0].ek_certificate)


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
            certified = certificate_in(public_areas.ek_certificate).public_key()
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


# --- encryption on the bus; tests/adversary/test_bus_listener.py listens there ---


@pytest.fixture
def own(simulator: Simulator) -> Iterator[Tpm]:
    """Opened for one test: whoever opens the TPM flushes what others have in it."""
    tpm = Tpm.open(simulator.tcti)
    yield tpm
    tpm.close()


def table_key(tpm: Tpm) -> Blob:
    wrapped = wrap_table_key(read_public(tpm.public_areas().srk), TableKey(b"k" * 32))
    return tpm.import_key(wrapped.public, wrapped.duplicate, wrapped.seed)


@pytest.mark.parametrize("template", ["L-1", "L-2", "H-3"])
def test_every_kind_of_endorsement_key_opens_the_salt(
    simulator: Simulator, template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(templates, "EK_TEMPLATES", {template: templates.EK_TEMPLATES[template]})
    monkeypatch.setattr(templates, "EK_WITHOUT_CERTIFICATE", template)
    tpm = Tpm.open(simulator.tcti)
    try:
        assert tpm.unseal(tpm.seal(b"a secret")) == b"a secret"
        assert tpm.hmac(table_key(tpm), b"data") == hmac.digest(b"k" * 32, b"data", "sha256")
        assert tpm.activate(*credential(tpm)) == soft.SECRET
        assert tpm.endorsement_key().template == template
    finally:
        tpm.close()


def test_the_endorsement_key_that_the_station_hears_of_is_named_and_found_again(simulator: Simulator) -> None:
    tpm = Tpm.open(simulator.tcti)
    blob, known = tpm.seal(b"a secret"), tpm.endorsement_key()
    assert known.name == read_public(tpm.public_areas().ek).name().hex()
    certificate = tpm.public_areas().ek_certificate
    tpm.close()
    again = Tpm.open(simulator.tcti)
    again.expect_endorsement_key(known)
    assert again.unseal(blob) == b"a secret"
    assert (again.endorsement_key(), again.public_areas().ek_certificate) == (known, certificate)
    again.close()


@pytest.mark.parametrize("used_before", [False, True])
def test_nothing_secret_is_encrypted_to_another_endorsement_key(
    simulator: Simulator, used_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tpm = Tpm.open(simulator.tcti)
    try:
        known = tpm.endorsement_key()
        blob, key, made = tpm.seal(b"a secret"), table_key(tpm), credential(tpm)
        if not used_before:
            tpm.close()
            tpm = Tpm.open(simulator.tcti)
        tpm.expect_endorsement_key(msgspec.structs.replace(known, name=known.name[:-2] + "00"))
        salted: list[object] = []
        monkeypatch.setattr(module, "start_session", lambda _esapi, key: salted.append(key))
        for ask in (
            lambda: tpm.seal(b"another"),
            lambda: tpm.unseal(blob),
            lambda: tpm.hmac(key, b"data"),
            lambda: tpm.activate(*made),
        ):
            assert code(ask) == "tpm.another-ek"
        assert salted == []
        assert (sessions(tpm), loaded(tpm) < ROOM) == (0, True)
        tpm.device_public_key().verify(tpm.sign(hashlib.sha256(b"a photo").digest()), b"a photo", ECDSA)
    finally:
        tpm.close()


def test_a_session_ends_with_the_operation_that_needed_it_also_when_that_fails(own: Tpm) -> None:
    """A TPM has room for three sessions."""
    blob, key = own.seal(b"a secret"), table_key(own)
    changed = Blob(public=blob.public, private=blob.private[:-1] + bytes([blob.private[-1] ^ 1]))
    for number in range(100):
        with own.encrypted():
            assert own.hmac(key, bytes([number])) == hmac.digest(b"k" * 32, bytes([number]), "sha256")
            assert own.unseal(blob) == b"a secret"
            assert sessions(own) == 1
        assert code(lambda: own.unseal(changed)) == "tpm.not-this-one"
        assert code(lambda: own.seal(bytes(129))) == "tpm.failed"
        assert (sessions(own), loaded(own) < ROOM) == (0, True)
    assert code(lambda: own.activate(*credential(own, soft.Key(soft.AK).name))) == "session.challenge-malformed"
    assert sessions(own) == 0


def test_a_command_that_the_tpm_asks_for_again_is_encrypted_again(own: Tpm, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has another nonce then, and so another key."""
    sent: list[bytes] = []
    real = ESAPI.unseal

    def retried(esapi: ESAPI, *arguments: object, **more: object) -> object:
        answer = real(esapi, *arguments, **more)
        sent.append(bytes(answer))
        if len(sent) == 1:
            raise TSS2_Exception(0x922)
        return answer

    blob = own.seal(b"a secret")
    monkeypatch.setattr(ESAPI, "unseal", retried)
    assert own.unseal(blob) == b"a secret"
    assert len(sent) == 2


def test_without_room_for_another_object_the_endorsement_key_goes_first(own: Tpm) -> None:
    blob = own.seal(b"a secret")

    def occupied(esapi: ESAPI) -> ESYS_TR:
        return esapi.create_primary(TPM2B_SENSITIVE_CREATE(), templates.device_key(), ESYS_TR.ENDORSEMENT)[0]

    other = own._run("take a slot", occupied)
    try:
        assert own.unseal(blob) == b"a secret"
        assert own.unseal(own.seal(b"another")) == b"another"
    finally:
        own._flush(other)


def test_a_station_may_ask_for_an_endorsement_key_of_another_template_than_the_known_one(own: Tpm) -> None:
    blob, known = own.seal(b"a secret"), own.endorsement_key()
    own.expect_endorsement_key(known)
    own.public_areas("L-1")
    assert own.unseal(blob) == b"a secret"
    other = own.endorsement_key()
    assert (known.template, other.template) == ("H-3", "L-1")
    own.expect_endorsement_key(msgspec.structs.replace(other, name=known.name))
    assert code(lambda: own.unseal(blob)) == "tpm.another-ek"


def test_a_template_that_the_tpm_was_found_to_lack_costs_no_command(tpm: Tpm, monkeypatch: pytest.MonkeyPatch) -> None:
    """A station waits for the answer to its Hello, and a chip takes its time."""
    shown = tpm.public_areas()

    def run(what: str, _command: object) -> None:
        raise AssertionError(what)

    monkeypatch.setattr(tpm, "_run", run)
    assert tpm.public_areas("L-2") == shown
