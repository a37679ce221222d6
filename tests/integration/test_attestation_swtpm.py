"""The station's TPM software with a real simulator: the TPM opens what it makes, and it verifies what the TPM makes."""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from device_agent.tpm.simulator import Simulator
from shared.birthmark.derivation import expand_input, extract, token_key
from shared.errors import BirthmarkError
from shared.protocol.messages import VERSION, Identity, Proof, TableImport
from shared.types import KeyIndex, MasterKey, TableKey, board_serial
from station.attestation.ek.roots import EkRoots, load_ek_roots
from station.attestation.ek.templates import TEMPLATES, template_of
from station.attestation.ek.verification import EkTrust, verify_ek
from station.attestation.evidence import examine_identity, examine_import, examine_proof
from station.attestation.tpm2.credential import make_credential
from station.attestation.tpm2.structures import read_public
from station.attestation.tpm2.wrapping import wrap_table_key
from station.config import EkPolicy
from tests.harness.vendor_lab import NOW

tpm2_pytss = pytest.importorskip("tpm2_pytss")

from tpm2_pytss import (  # noqa: E402 - it may be missing
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_RH,
    TPM2_SE,
    TPM2_ST,
    TPM2B_DATA,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_MAX_BUFFER,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE,
    TPM2B_SENSITIVE_CREATE,
    TPMA_OBJECT,
    TPMT_SIG_SCHEME,
    TPMT_SYM_DEF,
    TPMT_SYM_DEF_OBJECT,
    TPMT_TK_HASHCHECK,
    TSS2_Exception,
)
from tpm2_pytss.utils import NVReadEK, create_ek_template, wrap  # noqa: E402

from device_agent.tpm import templates  # noqa: E402
from device_agent.tpm.tpm import Tpm  # noqa: E402

SERIAL = board_serial("10000000abcdef01")
TRANSCRIPT = hashlib.sha256(b"this session").digest()
NO_SCHEME = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)
NOT_SYMMETRIC = TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    state = tmp_path_factory.mktemp("state")
    state.chmod(0o700)
    with Simulator(state) as running:
        yield running


@pytest.fixture
def esapi(simulator: Simulator) -> Iterator[ESAPI]:
    with ESAPI(simulator.tcti) as opened:
        yield opened


@pytest.fixture
def tpm(simulator: Simulator) -> Iterator[Tpm]:
    opened = Tpm.open(simulator.tcti)
    yield opened
    opened.close()


def identity_of(tpm: Tpm, **change: bytes) -> Identity:
    public_areas = tpm.public_areas()
    parts = {
        "ek_certificate": public_areas.ek_certificate,
        "ek_public": public_areas.ek,
        "ak_public": public_areas.ak,
        "srk_public": public_areas.srk,
        "device_public": public_areas.device,
    } | change
    return Identity(
        version=VERSION,
        hello=bytes(32),
        nonce=bytes(32),
        agent="test",
        model="test",
        serial=SERIAL,
        ek_certificate=parts["ek_certificate"],
        ek_public=parts["ek_public"],
        ak_public=parts["ak_public"],
        srk_public=parts["srk_public"],
        device_public=parts["device_public"],
    )


# --- credentials, for each kind of endorsement key ---


def ek_template(name: str, esapi: ESAPI) -> TPM2B_PUBLIC:
    """Return the library's templates, and the RSA-3072 one, for which the library requires a certificate in NV."""
    if name != "H-6":
        _, template = create_ek_template(
            {"L-1": "EK-RSA2048", "L-2": "EK-ECC256", "H-3": "EK-HIGH-ECC384"}[name], NVReadEK(esapi)
        )
        return template
    (h6,) = (template for template in TEMPLATES if template.name == name)
    return TPM2B_PUBLIC.parse(
        "rsa3072:aes256cfb",
        objectAttributes=TPMA_OBJECT(int(h6.attributes)),
        nameAlg=TPM2_ALG.SHA384,
        authPolicy=h6.policy,
    )


@pytest.mark.parametrize("name", ["L-1", "L-2", "H-3", "H-6"])
def test_a_tpm_gives_back_the_secret_of_a_credential_made_in_software(esapi: ESAPI, name: str) -> None:
    template = ek_template(name, esapi)
    ek, ek_public, *_ = esapi.create_primary(TPM2B_SENSITIVE_CREATE(), template, ESYS_TR.ENDORSEMENT)
    ak, ak_public, *_ = esapi.create_primary(TPM2B_SENSITIVE_CREATE(), templates.attestation_key(), ESYS_TR.ENDORSEMENT)
    session = ESYS_TR.PASSWORD
    try:
        public = read_public(bytes(ek_public.publicArea.marshal()))
        found = template_of(public)
        assert found is not None
        assert found.name == name
        ak_name = read_public(bytes(ak_public.publicArea.marshal())).name()
        assert ak_name == bytes(ak_public.get_name())
        secret = os.urandom(32)
        credential = make_credential(public, ak_name, secret)
        if name.startswith("L"):
            session = endorsed(esapi)
        blob, _ = TPM2B_ID_OBJECT.unmarshal(credential.id_object)
        encrypted, _ = TPM2B_ENCRYPTED_SECRET.unmarshal(credential.encrypted_secret)
        assert bytes(esapi.activate_credential(ak, ek, blob, encrypted, session2=session)) == secret
    finally:
        esapi.flush_context(ek)
        esapi.flush_context(ak)
        if session != ESYS_TR.PASSWORD:
            esapi.flush_context(session)


def endorsed(esapi: ESAPI) -> ESYS_TR:
    session = esapi.start_auth_session(
        ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL), TPM2_ALG.SHA256
    )
    esapi.policy_secret(ESYS_TR.ENDORSEMENT, session, b"", b"", b"", 0)
    return session


def test_a_credential_for_a_software_ak_with_copied_attributes_stays_shut(tpm: Tpm) -> None:
    """Nothing in the public area distinguishes the two; the credential does."""
    copied = copied_ak(tpm.public_areas().ak)
    claims = examine_identity(identity_of(tpm, ak_public=copied))
    credential = make_credential(claims.ek, claims.ak.name(), os.urandom(32))
    with pytest.raises(BirthmarkError) as caught:
        tpm.activate(credential.id_object, credential.encrypted_secret)
    assert caught.value.code == "session.challenge-malformed"


def copied_ak(public: bytes) -> bytes:
    point = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
    size = (32).to_bytes(2, "big")
    return public[:-68] + size + point.x.to_bytes(32, "big") + size + point.y.to_bytes(32, "big")


# --- table keys ---


def test_an_imported_table_key_derives_what_software_derives_and_its_import_passes(tpm: Tpm) -> None:
    claims = examine_identity(identity_of(tpm))
    master = MasterKey(os.urandom(32))
    wrapped = wrap_table_key(claims.srk, extract(master))
    blob = tpm.import_key(wrapped.public, wrapped.duplicate, wrapped.seed)
    for index in map(KeyIndex, (0, 1, 500, 999)):
        assert tpm.hmac(blob, expand_input(index)) == token_key(master, index).secret()
    made = tpm.certify_blob(blob, TRANSCRIPT)
    examine_import(
        claims,
        TableImport(table_id=7, attest=made.attest, signature=made.signature),
        wrapped.name,
        TRANSCRIPT,
    )


def test_an_imported_key_can_be_neither_duplicated_nor_unsealed(esapi: ESAPI) -> None:
    srk, srk_public, *_ = esapi.create_primary(TPM2B_SENSITIVE_CREATE(), templates.storage_key(), ESYS_TR.OWNER)
    table_key = TableKey(os.urandom(32))
    wrapped = wrap_table_key(read_public(bytes(srk_public.publicArea.marshal())), table_key)
    public, _ = TPM2B_PUBLIC.unmarshal(wrapped.public)
    assert bytes(public.get_name()) == wrapped.name
    duplicate, _ = TPM2B_PRIVATE.unmarshal(wrapped.duplicate)
    seed, _ = TPM2B_ENCRYPTED_SECRET.unmarshal(wrapped.seed)
    key = esapi.load(srk, esapi.import_(srk, b"", public, duplicate, seed, NOT_SYMMETRIC), public)
    try:
        made = bytes(esapi.hmac(key, TPM2B_MAX_BUFFER(b"x"), TPM2_ALG.SHA256))
        assert made == hmac.digest(table_key.secret(), b"x", "sha256")
        with pytest.raises(TSS2_Exception):
            esapi.unseal(key)
        with pytest.raises(TSS2_Exception):
            esapi.duplicate(key, ESYS_TR.NULL, b"", NOT_SYMMETRIC)
    finally:
        esapi.flush_context(key)
        esapi.flush_context(srk)


def test_a_key_wrapped_for_another_tpm_is_not_taken(tpm: Tpm) -> None:
    mine = examine_identity(identity_of(tpm))
    another = read_public(copied_ak(tpm.public_areas().srk))
    wrapped = wrap_table_key(another, TableKey(os.urandom(32)))
    with pytest.raises(BirthmarkError):
        tpm.import_key(wrapped.public, wrapped.duplicate, wrapped.seed)
    good = wrap_table_key(mine.srk, TableKey(os.urandom(32)))
    assert tpm.import_key(good.public, good.duplicate, good.seed).private


# --- a whole proof, and false ones ---


def proof_of(tpm: Tpm, secret: bytes, transcript: bytes = TRANSCRIPT) -> Proof:
    device, srk = tpm.certify_device_key(transcript), tpm.certify_storage_key(transcript)
    return Proof(
        secret=secret,
        device_attest=device.attest,
        device_signature=device.signature,
        srk_attest=srk.attest,
        srk_signature=srk.signature,
        csr=request(tpm),
        nuc_hash=b"sealed",
    )


def request(tpm: Tpm) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, SERIAL)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(tpm.device_key(), hashes.SHA256()).public_bytes(Encoding.DER)


def test_an_honest_tpm_passes_and_its_firmware_is_what_it_reports(tpm: Tpm) -> None:
    claims = examine_identity(identity_of(tpm))
    secret = os.urandom(32)
    credential = make_credential(claims.ek, claims.ak.name(), secret)
    activated = tpm.activate(credential.id_object, credential.encrypted_secret)
    proven = examine_proof(claims, proof_of(tpm, activated), TRANSCRIPT, secret, SERIAL)
    assert proven.firmware == tpm.firmware


def test_a_statement_recorded_in_another_session_is_refused(tpm: Tpm) -> None:
    claims = examine_identity(identity_of(tpm))
    recorded = proof_of(tpm, bytes(32), hashlib.sha256(b"another session").digest())
    with pytest.raises(BirthmarkError) as caught:
        examine_proof(claims, recorded, TRANSCRIPT, bytes(32), SERIAL)
    assert caught.value.code == "attestation.certify-other-session"


def test_a_software_key_that_a_genuine_ak_certifies_is_refused(esapi: ESAPI, simulator: Simulator) -> None:
    """An imported key may even claim sensitiveDataOrigin, but no TPM lets it claim fixedTPM."""
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public_pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    attributes = (
        TPMA_OBJECT.USERWITHAUTH | TPMA_OBJECT.SIGN_ENCRYPT | TPMA_OBJECT.NODA | TPMA_OBJECT.SENSITIVEDATAORIGIN
    )
    public = TPM2B_PUBLIC.from_pem(public_pem, objectAttributes=attributes)
    scheme = public.publicArea.parameters.eccDetail.scheme
    scheme.scheme, scheme.details.ecdsa.hashAlg = TPM2_ALG.ECDSA, TPM2_ALG.SHA256
    srk, srk_public, *_ = esapi.create_primary(TPM2B_SENSITIVE_CREATE(), templates.storage_key(), ESYS_TR.OWNER)
    ak, _, *_ = esapi.create_primary(TPM2B_SENSITIVE_CREATE(), templates.attestation_key(), ESYS_TR.ENDORSEMENT)
    _, duplicate, seed = wrap(srk_public.publicArea, public, TPM2B_SENSITIVE.from_pem(pem), symdef=NOT_SYMMETRIC)
    key = esapi.load(srk, esapi.import_(srk, b"", public, duplicate, seed, NOT_SYMMETRIC), public)
    try:
        statement, signature = esapi.certify(key, ak, TPM2B_DATA(TRANSCRIPT), NO_SCHEME)
    finally:
        for handle in (key, ak, srk):
            esapi.flush_context(handle)
    software = bytes(public.publicArea.marshal())
    attest, signed = bytes(statement.attestationData), bytes(signature.marshal())
    esapi.close()

    tpm = Tpm.open(simulator.tcti)
    try:
        with pytest.raises(BirthmarkError) as caught:
            examine_identity(identity_of(tpm, device_public=software))
        assert caught.value.code == "attestation.device-key-not-fixed"
        # With attributes that pass, it is a key of another name than the AK certified.
        lying = software[:4] + tpm.public_areas().device[4:8] + software[8:]
        claims = examine_identity(identity_of(tpm, device_public=lying))
        honest = proof_of(tpm, bytes(32))
        proof = Proof(
            secret=bytes(32),
            device_attest=attest,
            device_signature=signed,
            srk_attest=honest.srk_attest,
            srk_signature=honest.srk_signature,
            csr=honest.csr,
            nuc_hash=b"sealed",
        )
        with pytest.raises(BirthmarkError) as caught:
            examine_proof(claims, proof, TRANSCRIPT, bytes(32), SERIAL)
        assert caught.value.code == "attestation.certify-other-key"
    finally:
        tpm.close()


def test_an_unrestricted_key_can_forge_a_statement_and_is_therefore_no_ak(tpm: Tpm) -> None:
    public_areas = tpm.public_areas()
    forged = tpm.certify_storage_key(TRANSCRIPT).attest
    assert tpm.sign(hashlib.sha256(forged).digest())  # the device key signs any digest
    with pytest.raises(BirthmarkError) as caught:
        examine_identity(identity_of(tpm, ak_public=public_areas.device))
    assert caught.value.code == "attestation.ak-not-restricted"


def test_a_restricted_ak_signs_no_statement_that_its_tpm_did_not_make(esapi: ESAPI) -> None:
    ak, _, *_ = esapi.create_primary(TPM2B_SENSITIVE_CREATE(), templates.attestation_key(), ESYS_TR.ENDORSEMENT)
    no_ticket = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
    try:
        with pytest.raises(TSS2_Exception):
            esapi.sign(ak, hashlib.sha256(b"forged").digest(), NO_SCHEME, no_ticket)
    finally:
        esapi.flush_context(ak)


# --- the simulator's own certificate ---


def test_swtpms_certificate_is_judged_by_policy_and_known_issuers(
    tpm: Tpm, simulator: Simulator, tmp_path: Path
) -> None:
    claims = examine_identity(identity_of(tpm))
    der, key = tpm.public_areas().ek_certificate + b"\xff" * 64, claims.ek.key()
    nobody = EkRoots()
    assert verify_ek(der, nobody, EkPolicy.SIMULATOR, now=NOW, key=key).trust is EkTrust.SIMULATED
    assert verify_ek(der, nobody, EkPolicy.RECORD, now=NOW, key=key).trust is EkTrust.UNVERIFIED
    with pytest.raises(BirthmarkError) as caught:
        verify_ek(der, nobody, EkPolicy.REQUIRE, now=NOW, key=key)
    assert caught.value.code == "attestation.ek-untrusted"
    roots = load_ek_roots(swtpm_ca(simulator, tmp_path))
    verdict = verify_ek(der, roots, EkPolicy.REQUIRE, now=NOW, key=key)
    assert (verdict.trust, verdict.anchor) == (EkTrust.VERIFIED, "CN=swtpm-localca-rootca")
    assert "simulator" in verdict.reason


def test_openssls_own_command_agrees(tpm: Tpm, simulator: Simulator, tmp_path: Path) -> None:
    """An independent check of the same bytes."""
    ca = swtpm_ca(simulator, tmp_path)
    (tmp_path / "ek.der").write_bytes(tpm.public_areas().ek_certificate)
    command = [
        *("openssl", "verify", "-ignore_critical", "-partial_chain", "-no_check_time"),
        *("-CAfile", str(ca / "issuercert.pem"), str(tmp_path / "ek.der")),
    ]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def swtpm_ca(simulator: Simulator, tmp_path: Path) -> Path:
    made = simulator._state / "ca"
    directory = tmp_path / "roots"
    directory.mkdir()
    for path in made.glob("*cert.pem"):
        (directory / path.name).write_bytes(path.read_bytes())
    return directory
