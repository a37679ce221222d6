"""The agent's TPM operations: make keys, activate credentials, certify, sign, import, seal and unseal, HMAC.

What is secret crosses the TPM's bus encrypted (`bus_encryption`); the rest is public, or wrapped to a key of the TPM.
A TPM holds three objects at a time, so at most two of our keys stay loaded; the others are saved contexts, which load
far faster than a key is made again. Callers pass and receive marshalled structures and need no TPM library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NoReturn, TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from tpm2_pytss import (
    ESAPI,
    ESYS_TR,
    TPM2_ALG,
    TPM2_CAP,
    TPM2_PT,
    TPM2_PT_FIRMWARE,
    TPM2_RH,
    TPM2_SE,
    TPM2_ST,
    TPM2_SU,
    TPM2B_DATA,
    TPM2B_ENCRYPTED_SECRET,
    TPM2B_ID_OBJECT,
    TPM2B_MAX_BUFFER,
    TPM2B_PRIVATE,
    TPM2B_PUBLIC,
    TPM2B_SENSITIVE_CREATE,
    TPM2B_SENSITIVE_DATA,
    TPMS_SENSITIVE_CREATE,
    TPMT_SIG_SCHEME,
    TPMT_SYM_DEF,
    TPMT_SYM_DEF_OBJECT,
    TPMT_TK_HASHCHECK,
    TSS2_Exception,
)
from tpm2_pytss.utils import NoSuchIndex, create_ek_template

from device_agent.storage.endorsement_key import EndorsementKey
from device_agent.storage.tpm_blob import Blob
from device_agent.tpm import templates
from device_agent.tpm.bus_encryption import Encrypted, encrypt, start_session
from device_agent.tpm.connection import Connection
from device_agent.tpm.ek_chain import read_ek_chain
from device_agent.tpm.nv import read_nv
from shared import limits
from shared.errors import BirthmarkError, ErrorCode

_LOADED_MAX: Final = 2
_NO_SCHEME: Final = TPMT_SIG_SCHEME(scheme=TPM2_ALG.NULL)
_NOT_SYMMETRIC: Final = TPMT_SYM_DEF_OBJECT(algorithm=TPM2_ALG.NULL)

Result = TypeVar("Result")
Structure = TypeVar("Structure")


@dataclass(frozen=True, slots=True)
class Certified:
    """TPM2_Certify's answer: TPMS_ATTEST and TPMT_SIGNATURE, marshalled."""

    attest: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class PublicAreas:
    """TPMT_PUBLIC structures, marshalled, and the EK certificate as stored in NV, with its padding."""

    ek_certificate: bytes
    ek: bytes
    ak: bytes
    srk: bytes
    device: bytes
    ek_chain: tuple[bytes, ...] = ()
    """The certificates above the EK's that lie in NV, DER."""


class _Key(Enum):
    EK = "endorsement key"
    AK = "attestation key"
    SRK = "storage key"
    DEVICE = "device key"


@dataclass(slots=True)
class _Slot:
    """One of our keys: loaded (`handle`), saved (`context`), or not made yet."""

    public: bytes = b""
    name: bytes = b""
    handle: ESYS_TR | None = None
    context: Any = None


class Tpm:
    """One TPM and our keys in it. Every method raises `tpm.*`; after `tpm.gone` or `tpm.hung` open a new one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        connection.make_room = self._evict_unused
        self._slots = {key: _Slot() for key in _Key}
        self._recent: list[_Key] = []
        self._wanted: tuple[_Key, ...] = ()
        """Keys whose handles are in use; they are not evicted."""
        self._session: ESYS_TR | None = None
        """The session of `encrypted`."""
        self._expected_ek: EndorsementKey | None = None
        self._ek_wanted = ""
        self._ek_name = ""
        """TCG's name of the EK's template, once it is found."""
        self._ek_absent: set[str] = set()
        """Templates for which it was found to have no certificate: a station that wants one costs no command."""
        self._ek_template: TPM2B_PUBLIC | None = None
        self._ek_certificate = b""
        self._ek_chain: tuple[bytes, ...] | None = None
        self.manufacturer, self.firmware = self._read_properties()

    @classmethod
    def open(cls, tcti: str) -> Tpm:
        """`tcti` is a TCTI's name and configuration, such as `device:/dev/tpmrm0`."""
        connection = Connection(tcti)
        try:
            return cls(connection)
        except BirthmarkError:
            connection.close()
            raise

    def close(self) -> None:
        self._connection.close()

    def public_areas(self, ek_template: str | None = None) -> PublicAreas:
        """Return our keys' public areas; make the keys that are not made yet.

        `ek_template` is TCG's name of the template that the EK is to be of, if the TPM has a certificate for such a
        one; None leaves it as it was. By itself the TPM shows the first one with a certificate.
        """
        known = {self._ek_wanted, self._ek_name} | (self._ek_absent if not self._ek_wanted else set())
        if ek_template is not None and ek_template not in known:
            self._ek_wanted = ek_template
            self._change_ek()
        ek, ak, srk, device = (self._public(key) for key in (_Key.EK, _Key.AK, _Key.SRK, _Key.DEVICE))
        if self._ek_chain is None:
            self._ek_chain = read_ek_chain(self._run)
        return PublicAreas(self._ek_certificate, ek, ak, srk, device, self._ek_chain)

    def endorsement_key(self) -> EndorsementKey:
        """Return which endorsement key this is; `public_areas` tells the station of the same."""
        self._public(_Key.EK)
        return EndorsementKey(template=self._ek_name, name=self._slots[_Key.EK].name.hex())

    def expect_endorsement_key(self, verified: EndorsementKey) -> None:
        """Encrypt to no other endorsement key from now on: what would use another raises `tpm.another-ek`.

        A station may still ask `public_areas` for a key of another template, which it verifies.
        """
        self._expected_ek = verified

    @contextmanager
    def encrypted(self) -> Iterator[None]:
        """Let all commands within use one encrypted session: starting one takes longer than most commands.

        It ends here, and not with the TPM: the kernel's resource manager must save a session each time somebody uses
        one, and fails for everybody when it has kept one for too long.
        """
        with self._encrypted_session():
            yield

    def activate(self, id_object: bytes, encrypted_secret: bytes) -> bytes:
        """Return the credential's secret (TPM2_ActivateCredential).

        Raises `session.challenge-malformed` for a credential that was not made for our EK and AK.
        """
        blob = _unmarshal(TPM2B_ID_OBJECT, id_object, "session.challenge-malformed")
        secret = _unmarshal(TPM2B_ENCRYPTED_SECRET, encrypted_secret, "session.challenge-malformed")
        try:
            with self._encrypted_session() as encrypted, self._ek_session() as authorised:
                ak, ek = self._loaded(_Key.AK, _Key.EK)

                def activate(esapi: ESAPI) -> bytes:
                    encrypt(esapi, encrypted, Encrypted.ANSWER)
                    return bytes(
                        esapi.activate_credential(ak, ek, blob, secret, session2=authorised, session3=encrypted)
                    )

                return self._run("activate the credential", activate)
        except BirthmarkError as error:
            if error.is_any("tpm.failed", "tpm.not-this-one"):
                raise BirthmarkError("session.challenge-malformed", error.detail) from error
            raise
        finally:
            # The EK has no noDA: without this shutdown, a later power cut would count as a wrong authorisation.
            self._run("save the state", lambda esapi: esapi.shutdown(TPM2_SU.CLEAR))

    def certify_device_key(self, qualifying: bytes) -> Certified:
        """Certify the device key with the AK (TPM2_Certify); `qualifying` is at most 32 bytes."""
        return self._certify_key(_Key.DEVICE, qualifying)

    def certify_storage_key(self, qualifying: bytes) -> Certified:
        return self._certify_key(_Key.SRK, qualifying)

    def certify_blob(self, blob: Blob, qualifying: bytes) -> Certified:
        """Return the AK's statement that `blob` is loaded in this TPM."""
        with self._loaded_blob(blob) as handle:
            (ak,) = self._loaded(_Key.AK)
            return self._certify(handle, ak, qualifying)

    def sign(self, digest: bytes) -> bytes:
        """Sign a 32-byte SHA-256 digest with the device key; return DER ECDSA P-256."""
        no_ticket = TPMT_TK_HASHCHECK(tag=TPM2_ST.HASHCHECK, hierarchy=TPM2_RH.NULL)
        (device,) = self._loaded(_Key.DEVICE)
        signature = self._run("sign", lambda esapi: esapi.sign(device, digest, _NO_SCHEME, no_ticket))
        ecdsa = signature.signature.ecdsa
        return encode_dss_signature(
            int.from_bytes(bytes(ecdsa.signatureR), "big"), int.from_bytes(bytes(ecdsa.signatureS), "big")
        )

    def device_key(self) -> DeviceKey:
        """Return the device key as a private key of cryptography."""
        return DeviceKey(self.sign, self.device_public_key())

    def device_public_key(self) -> ec.EllipticCurvePublicKey:
        public = _unmarshal(TPM2B_PUBLIC, _tpm2b(self._public(_Key.DEVICE)), "tpm.failed")
        point = public.publicArea.unique.ecc
        x, y = (int.from_bytes(bytes(coordinate), "big") for coordinate in (point.x, point.y))
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()

    def import_key(self, public: bytes, duplicate: bytes, seed: bytes) -> Blob:
        """Import a key under the storage key (TPM2_Import).

        Takes TPM2B_PUBLIC, TPM2B_PRIVATE and TPM2B_ENCRYPTED_SECRET, marshalled. Raises `trust.table-not-for-this-tpm`
        for a key that is malformed or wrapped to another storage key.
        """
        code: Final = "trust.table-not-for-this-tpm"
        area = _unmarshal(TPM2B_PUBLIC, public, code)
        wrapped = _unmarshal(TPM2B_PRIVATE, duplicate, code)
        secret = _unmarshal(TPM2B_ENCRYPTED_SECRET, seed, code)
        (srk,) = self._loaded(_Key.SRK)
        try:
            private = self._run(
                "import a table key", lambda esapi: esapi.import_(srk, b"", area, wrapped, secret, _NOT_SYMMETRIC)
            )
        except BirthmarkError as error:
            if error.is_any("tpm.failed", "tpm.not-this-one"):
                raise BirthmarkError(code, error.detail) from error
            raise
        return Blob(public=public, private=bytes(private.marshal()))

    def seal(self, data: bytes) -> Blob:
        """Seal at most 128 bytes, which only this TPM can unseal."""
        sensitive = TPM2B_SENSITIVE_CREATE(sensitive=TPMS_SENSITIVE_CREATE(data=TPM2B_SENSITIVE_DATA(data)))
        with self._encrypted_session() as session:
            (srk,) = self._loaded(_Key.SRK)

            def seal(esapi: ESAPI) -> tuple[Any, ...]:
                encrypt(esapi, session, Encrypted.COMMAND)
                return esapi.create(srk, sensitive, templates.sealed_data(), session1=session)  # type: ignore[no-any-return]

            private, public, *_ = self._run("seal", seal)
        return Blob(public=bytes(public.marshal()), private=bytes(private.marshal()))

    def unseal(self, blob: Blob) -> bytes:
        """Return the sealed data. Raises `tpm.not-this-one` when another TPM sealed it."""
        with self._encrypted_session() as session, self._loaded_blob(blob) as handle:

            def unseal(esapi: ESAPI) -> bytes:
                encrypt(esapi, session, Encrypted.ANSWER)
                return bytes(esapi.unseal(handle, session1=session))

            return self._run("unseal", unseal)

    def hmac(self, blob: Blob, data: bytes) -> bytes:
        """Return HMAC-SHA256 under an imported key, 32 bytes; `data` is at most 1,024 bytes."""
        with self._encrypted_session() as session, self._loaded_blob(blob) as handle:

            def derive(esapi: ESAPI) -> bytes:
                encrypt(esapi, session, Encrypted.BOTH)
                return bytes(esapi.hmac(handle, TPM2B_MAX_BUFFER(data), TPM2_ALG.SHA256, session1=session))

            return self._run("derive", derive)

    # --- encryption on the bus ---

    @contextmanager
    def _encrypted_session(self) -> Iterator[ESYS_TR]:
        """Yield the session of the `encrypted` around this one, or a new one."""
        if self._session is not None:
            yield self._session
            return
        self._wanted = (_Key.EK,)
        ek = self._load(_Key.EK)
        self._session = session = self._run("start an encrypted session", lambda esapi: start_session(esapi, ek))
        try:
            yield session
        finally:
            self._session = None
            self._flush(session)

    # --- loaded and saved keys ---

    def _run(self, what: str, command: Callable[[ESAPI], Result]) -> Result:
        return self._connection.run(what, command)

    def _public(self, key: _Key) -> bytes:
        if not self._slots[key].public:
            self._wanted = (key,)
            self._load(key)
        if key is _Key.EK:
            self._check_ek()
        return self._slots[key].public

    def _loaded(self, *keys: _Key) -> tuple[ESYS_TR, ...]:
        """Load these keys together and return their handles, valid until another key is loaded."""
        self._wanted = keys
        self._evict_unused()
        return tuple(self._load(key) for key in keys)

    @contextmanager
    def _loaded_blob(self, blob: Blob) -> Iterator[ESYS_TR]:
        """Load a blob under the storage key; the caller may load one more key meanwhile."""
        private = _unmarshal(TPM2B_PRIVATE, blob.private, "identity.damaged")
        public = _unmarshal(TPM2B_PUBLIC, blob.public, "identity.damaged")
        (srk,) = self._loaded(_Key.SRK)
        handle = self._run("load a key", lambda esapi: esapi.load(srk, private, public))
        try:
            yield handle
        finally:
            self._flush(handle)

    def _load(self, key: _Key) -> ESYS_TR:
        slot = self._slots[key]
        if slot.handle is None:
            while len(self._recent) >= _LOADED_MAX:
                self._evict(self._recent[0])
            if slot.context is not None:
                slot.handle = self._run(f"load the {key.value}", lambda esapi: esapi.context_load(slot.context))
            else:
                slot.handle, public = self._make(key)
                slot.public, slot.name = bytes(public.publicArea.marshal()), bytes(public.get_name())
            self._recent.append(key)
        if key is _Key.EK:
            self._check_ek()
        return slot.handle

    def _make(self, key: _Key) -> tuple[ESYS_TR, TPM2B_PUBLIC]:
        match key:
            case _Key.EK:
                template, hierarchy = self._find_ek(), ESYS_TR.ENDORSEMENT
            case _Key.AK:
                template, hierarchy = templates.attestation_key(), ESYS_TR.ENDORSEMENT
            case _Key.SRK:
                template, hierarchy = templates.storage_key(), ESYS_TR.OWNER
            case _Key.DEVICE:
                template, hierarchy = templates.device_key(), ESYS_TR.ENDORSEMENT
        handle, public, *_ = self._run(
            f"make the {key.value}",
            lambda esapi: esapi.create_primary(TPM2B_SENSITIVE_CREATE(), template, hierarchy),
        )
        return handle, public

    def _evict(self, key: _Key) -> None:
        slot = self._slots[key]
        handle, slot.handle = slot.handle, None
        self._recent.remove(key)
        if slot.context is None:
            slot.context = self._run(f"save the {key.value}", lambda esapi: esapi.context_save(handle))
        self._flush(handle)

    def _evict_unused(self) -> None:
        while others := [key for key in self._recent if key not in self._wanted]:
            self._evict(others[0])  # may itself need room and call this again

    def _flush(self, handle: ESYS_TR | None) -> None:
        self._run("flush", lambda esapi: esapi.flush_context(handle))

    # --- attestation ---

    def _certify_key(self, key: _Key, qualifying: bytes) -> Certified:
        handle, ak = self._loaded(key, _Key.AK)
        return self._certify(handle, ak, qualifying)

    def _certify(self, handle: ESYS_TR, ak: ESYS_TR, qualifying: bytes) -> Certified:
        statement, signature = self._run(
            "certify", lambda esapi: esapi.certify(handle, ak, TPM2B_DATA(qualifying), _NO_SCHEME)
        )
        return Certified(bytes(statement.attestationData), bytes(signature.marshal()))

    @contextmanager
    def _ek_session(self) -> Iterator[ESYS_TR]:
        """Yield the EK's authorisation: PolicySecret of the endorsement hierarchy (L-*) or an empty password (H-*).

        TCG EK Credential Profile 2.5, annex B.3.
        """
        if not self._ek_name.startswith("L-"):
            yield ESYS_TR.PASSWORD
            return
        no_encryption = TPMT_SYM_DEF(algorithm=TPM2_ALG.NULL)
        session = self._run(
            "start a policy session",
            lambda esapi: esapi.start_auth_session(
                ESYS_TR.NONE, ESYS_TR.NONE, TPM2_SE.POLICY, no_encryption, TPM2_ALG.SHA256
            ),
        )
        try:
            self._run(
                "authorise the endorsement key",
                lambda esapi: esapi.policy_secret(ESYS_TR.ENDORSEMENT, session, b"", b"", b"", 0),
            )
            yield session
        finally:
            self._flush(session)

    def _find_ek(self) -> TPM2B_PUBLIC:
        """Return the template of the EK to show; read it once.

        The one that a station wants and the TPM has a certificate for, else the expected one, else the first with a
        certificate.
        """
        if self._ek_template is None:
            expected = self._expected_ek.template if self._expected_ek else ""
            known = dict.fromkeys([self._ek_wanted, expected, *templates.EK_TEMPLATES])
            for name in (name for name in known if name in templates.EK_TEMPLATES):
                self._ek_name = name
                self._ek_certificate, self._ek_template = self._read_ek(templates.EK_TEMPLATES[name])
                if self._ek_certificate or name == expected:
                    break
                self._ek_absent.add(name)
            else:
                self._ek_name = templates.EK_WITHOUT_CERTIFICATE
                _, self._ek_template = self._read_ek(templates.EK_TEMPLATES[self._ek_name])
        if self._ek_template is None:
            raise BirthmarkError("tpm.no-ek")
        return self._ek_template

    def _change_ek(self) -> None:
        """Find the EK again, and forget the one that is made if it is of another template."""
        made, self._ek_template = self._ek_name, None
        self._find_ek()
        if made and made != self._ek_name:
            handle = self._slots[_Key.EK].handle
            self._slots[_Key.EK] = _Slot()
            if handle is not None:
                self._recent.remove(_Key.EK)
                self._flush(handle)

    def _check_ek(self) -> None:
        """Raise `tpm.another-ek` if it should be the expected one, and is not."""
        expected = self._expected_ek
        if expected is None or expected.template != self._ek_name:  # a station asks for another, and verifies it
            return
        if self._slots[_Key.EK].name.hex() != expected.name:
            raise BirthmarkError("tpm.another-ek", self._ek_name)

    def _read_ek(self, name: str) -> tuple[bytes, TPM2B_PUBLIC | None]:
        what = f"read the certificate of {name}"

        def read(index: int) -> bytes:
            content = read_nv(self._run, what, int(index), limits.CERTIFICATE_BYTES)
            if content is None:
                raise NoSuchIndex(index)
            return content

        try:
            certificate, template = create_ek_template(name, read)
        except ValueError:  # the library's error where there is none
            return b"", None
        except TSS2_Exception as error:  # NV holds a template of the EK that is none
            raise BirthmarkError("tpm.failed", f"{what}: {error}") from error
        return certificate or b"", template

    def _read_properties(self) -> tuple[str, str]:
        """Return manufacturer (four letters) and firmware version as the TPM reports them, without proof."""

        def read(esapi: ESAPI) -> dict[int, int]:
            _, capability = esapi.get_capability(TPM2_CAP.TPM_PROPERTIES, TPM2_PT.MANUFACTURER, 16)
            return {int(entry.property): int(entry.value) for entry in capability.data.tpmProperties}

        properties = self._run("read the TPM's properties", read)
        letters = properties.get(int(TPM2_PT.MANUFACTURER), 0).to_bytes(4, "big").rstrip(b"\0")
        versions = (TPM2_PT_FIRMWARE.VERSION_1, TPM2_PT_FIRMWARE.VERSION_2)
        first, second = (properties.get(int(number), 0) for number in versions)
        version = f"{first >> 16}.{first & 0xFFFF}.{second >> 16}.{second & 0xFFFF}"
        return letters.decode("ascii", "replace").strip(), version


class DeviceKey(ec.EllipticCurvePrivateKey):
    """The device key for cryptography's builders: it signs ECDSA with SHA-256; its private value stays in the TPM.

    `sign_digest` has the TPM sign a SHA-256 digest, as `Tpm.sign` does.
    """

    def __init__(self, sign_digest: Callable[[bytes], bytes], public: ec.EllipticCurvePublicKey) -> None:
        self._sign_digest = sign_digest
        self._public = public

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._public

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._public.curve

    @property
    def key_size(self) -> int:
        return self._public.key_size

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, Prehashed) or not isinstance(algorithm, hashes.SHA256):
            raise TypeError("the device key signs ECDSA with SHA-256 over data, nothing else")
        digest = hashes.Hash(hashes.SHA256())
        digest.update(bytes(data))
        return self._sign_digest(digest.finalize())

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> NoReturn:
        raise BirthmarkError("identity.not-exportable", "it only signs")

    def private_numbers(self) -> NoReturn:
        raise BirthmarkError("identity.not-exportable")

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:
        raise BirthmarkError("identity.not-exportable")

    def __copy__(self) -> DeviceKey:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> DeviceKey:
        return self


def _tpm2b(area: bytes) -> bytes:
    return len(area).to_bytes(2, "big") + area


def _unmarshal(kind: type[Structure], data: bytes, code: ErrorCode) -> Structure:
    """Unmarshal one structure that fills `data`. Raises `code`."""
    try:
        structure, used = kind.unmarshal(data)  # type: ignore[attr-defined]
    except TSS2_Exception:
        raise BirthmarkError(code, "a TPM structure is malformed") from None
    if used != len(data):
        raise BirthmarkError(code, "a TPM structure has bytes after its end")
    return structure  # type: ignore[no-any-return]
