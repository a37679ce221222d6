"""The messages of a session; the only module that encodes and decodes them.

A message is a MessagePack map with a tag `t` and a version `v`. The decoder ignores unknown fields and refuses an
unknown tag or version, which its error names. A signed message carries its body as bytes, so that the signature covers
the bytes that were sent; the body is such a map too.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from shared import limits
from shared.errors import BirthmarkError, ErrorCode
from shared.text import printable

VERSION: Final = 1
"""The only version of messages that this code speaks."""

Octets32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Certificate = Annotated[bytes, Meta(min_length=1, max_length=limits.CERTIFICATE_BYTES)]
EkChain = Annotated[
    tuple[Annotated[bytes, Meta(min_length=1, max_length=limits.EK_CHAIN_CERTIFICATE_BYTES)], ...],
    Meta(max_length=limits.EK_CHAIN_CERTIFICATES),
]
Chain = Annotated[tuple[Certificate, ...], Meta(min_length=1, max_length=limits.CHAIN_CERTIFICATES)]
TpmBytes = Annotated[bytes, Meta(min_length=1, max_length=limits.TPM_STRUCTURE_BYTES)]
Signature = Annotated[bytes, Meta(min_length=1, max_length=limits.SIGNATURE_BYTES)]
Text = Annotated[str, Meta(max_length=limits.TEXT_CHARACTERS)]
Code = Annotated[str, Meta(pattern=rf"^[a-z0-9.-]{{1,{limits.CODE_CHARACTERS}}}\Z")]
"""The code of an error; whoever receives it looks it up in the own catalogue."""
TableNumber = Annotated[int, Meta(ge=0, lt=limits.TABLE_COUNT_MAX)]


class _Message(msgspec.Struct, frozen=True, tag_field="t", kw_only=True):
    v: int = VERSION


class Hello(_Message, frozen=True, tag="hello", kw_only=True):
    """Station to agent, repeated until the agent answers."""

    versions: Annotated[tuple[int, ...], Meta(min_length=1, max_length=16)]
    nonce: Octets32
    station: Text
    chain: Chain
    """DER, the station's own certificate first, the root last."""
    time: Annotated[int, Meta(ge=0, lt=1 << 40)]
    """Seconds since 1970, UTC. A Pi without a battery has no other clock to check validity with."""
    revoked_stations: Annotated[bytes, Meta(max_length=limits.STATION_CRL_BYTES)]
    """The authority's CRL of stations, DER; empty while it has signed none."""
    ek_template: Text = ""
    """TCG's name of the template whose endorsement key the unit is to show; empty leaves it to the unit."""


class Identity(_Message, frozen=True, tag="identity", kw_only=True):
    """Agent to station: the unit's identity, neither secret nor proven yet."""

    version: int
    hello: Octets32
    """Transcript after the Hello that this message answers."""
    nonce: Octets32
    agent: Text
    model: Text
    serial: Text
    certificate: Annotated[bytes, Meta(max_length=32)] = b""
    """SHA-256 of the unit's device certificate, empty while it has none."""
    tpm_manufacturer: Text = ""
    tpm_firmware: Text = ""
    ek_certificate: Annotated[bytes, Meta(max_length=limits.CERTIFICATE_BYTES)] = b""
    """As read from the TPM's NV index, with its padding."""
    ek_chain: EkChain = ()
    """DER, from the TPM's NV, too: its vendor's certificates above the EK's, in any order."""
    ek_public: TpmBytes
    ak_public: TpmBytes
    srk_public: TpmBytes
    device_public: TpmBytes
    """TPMT_PUBLIC structures, marshalled."""
    findings: Annotated[tuple[Code, ...], Meta(max_length=limits.FINDINGS)] = ()
    """What `birthmark-agent doctor` finds amiss on this Pi; nothing is decided by it."""


class NotReady(_Message, frozen=True, tag="not-ready", kw_only=True):
    """Agent to station, in place of an Identity: why this unit cannot begin a session yet."""

    hello: Octets32
    """Transcript after the Hello that this message answers."""
    model: Text
    serial: Text
    code: Code
    """What it lacks, one of `shared.errors.findings`."""


class ChallengeBody(_Message, frozen=True, tag="challenge-body", kw_only=True):
    """A credential that only the TPM with this EK and AK can activate, and the station's HPKE key of this session."""

    credential: TpmBytes
    """TPM2B_ID_OBJECT, marshalled."""
    encrypted_secret: TpmBytes
    """TPM2B_ENCRYPTED_SECRET, marshalled."""
    hpke_key: Annotated[bytes, Meta(min_length=65, max_length=65)]
    """P-256 public key, uncompressed point."""


class Proof(_Message, frozen=True, tag="proof", kw_only=True):
    """Agent to station: the credential's secret, the AK's statements, the request, and the NUC hash under HPKE."""

    secret: Octets32
    device_attest: TpmBytes
    device_signature: TpmBytes
    srk_attest: TpmBytes
    srk_signature: TpmBytes
    """TPMS_ATTEST and TPMT_SIGNATURE of TPM2_Certify, marshalled."""
    csr: Annotated[bytes, Meta(min_length=1, max_length=limits.CSR_BYTES)]
    nuc_hash: Annotated[bytes, Meta(min_length=1, max_length=limits.SEALED_BYTES)]


class WrappedTable(msgspec.Struct, frozen=True, kw_only=True):
    """One key table for one TPM: HKDF-Extract's output as an HMAC key, wrapped for TPM2_Import."""

    table_id: TableNumber
    public: TpmBytes
    """TPM2B_PUBLIC, marshalled."""
    duplicate: TpmBytes
    """TPM2B_PRIVATE, marshalled."""
    seed: TpmBytes
    """TPM2B_ENCRYPTED_SECRET, marshalled."""


class CredentialsBody(_Message, frozen=True, tag="credentials-body", kw_only=True):
    """The certificate chain, key tables and authority that the unit stores."""

    chain: Chain
    """DER, the unit's certificate first, the root last."""
    tables: Annotated[tuple[WrappedTable, ...], Meta(min_length=1, max_length=16)]
    authority_id: Text
    validation_endpoint: Text


class TableImport(msgspec.Struct, frozen=True, kw_only=True):
    """The AK's statement that a table's key is in the TPM."""

    table_id: TableNumber
    attest: TpmBytes
    signature: TpmBytes


class ReceiptBody(_Message, frozen=True, tag="receipt-body", kw_only=True):
    """What the unit now stores."""

    stored: Octets32
    """`shared.protocol.signing.stored_digest` of the stored chain and table ids."""
    tables: Annotated[tuple[TableImport, ...], Meta(max_length=16)]


class _Signed(_Message, frozen=True, kw_only=True):
    body: Annotated[bytes, Meta(min_length=1, max_length=limits.FRAME_BYTES)]
    signature: Signature
    """DER ECDSA P-256 with SHA-256 over `shared.protocol.signing.signed_bytes`."""


class Challenge(_Signed, frozen=True, tag="challenge", kw_only=True):
    """Station to agent; the body is a ChallengeBody."""


class Credentials(_Signed, frozen=True, tag="credentials", kw_only=True):
    """Station to agent; the body is a CredentialsBody."""


class Receipt(_Signed, frozen=True, tag="receipt", kw_only=True):
    """Agent to station, signed by the device key; the body is a ReceiptBody."""


class Done(_Message, frozen=True, tag="done", kw_only=True):
    """Station to agent: the receipt is recorded."""


class Refusal(_Message, frozen=True, tag="refusal", kw_only=True):
    """Either way: ends the session and gives the reason."""

    code: Code


Message: TypeAlias = Hello | Identity | NotReady | Challenge | Proof | Credentials | Receipt | Done | Refusal
Body: TypeAlias = ChallengeBody | CredentialsBody | ReceiptBody

BodyT = TypeVar("BodyT", ChallengeBody, CredentialsBody, ReceiptBody)
DecodedT = TypeVar("DecodedT")

_encoder: Final = msgspec.msgpack.Encoder()
_message_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)


class _Envelope(msgspec.Struct, frozen=True):
    t: str
    v: int


_envelope_decoder: Final = msgspec.msgpack.Decoder(_Envelope)
_KNOWN: Final = frozenset(
    str(kind.__struct_config__.tag)
    for kind in (Hello, Identity, NotReady, Challenge, Proof, Credentials, Receipt, Done, Refusal)
)


def encode(message: Message | Body) -> bytes:
    """Return the payload of one frame, or the body of a signed message."""
    return _encoder.encode(message)


def decode(payload: bytes) -> Message:
    """Decode a payload.

    Raises `message.malformed`, `message.version-unknown`, `message.unknown` or `message.field-invalid`.
    """
    if (tag := _read_tag(payload)) not in _KNOWN:
        raise BirthmarkError("message.unknown", printable(tag, 32))
    return _decode_checked(_message_decoder, payload, "message.field-invalid")


def decode_body(kind: type[BodyT], body: bytes) -> BodyT:
    """Decode a signed message's body. Raises as `decode` does; a body of another kind is `message.field-invalid`."""
    _read_tag(body)
    return _decode_checked(msgspec.msgpack.Decoder(kind), body, "message.field-invalid")


def _read_tag(octets: bytes) -> str:
    """Return the tag of a message or body, and check its version."""
    envelope = _decode_checked(_envelope_decoder, octets, "message.malformed")
    if envelope.v != VERSION:
        raise BirthmarkError("message.version-unknown", f"{printable(envelope.t, 32)} has version {envelope.v}")
    return envelope.t


_FIELD: Final = re.compile(r"at `\$\.?([a-z0-9_.\[\]]{1,64})`\Z")


def _decode_checked(decoder: msgspec.msgpack.Decoder[DecodedT], octets: bytes, code: ErrorCode) -> DecodedT:
    try:
        return decoder.decode(octets)
    except msgspec.ValidationError as error:
        # The library's text quotes the other end's data; the path to the field has only our names.
        field = _FIELD.search(str(error))
        raise BirthmarkError(code, field[1] if field else "") from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise BirthmarkError("message.malformed") from None
