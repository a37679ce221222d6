"""Agents that send malformed messages, messages at the wrong time, or receipts for what they do not store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared import limits
from shared.protocol.framing import encode_frame
from shared.protocol.messages import Done, Identity, Proof, Receipt, ReceiptBody, decode, decode_body, encode
from shared.protocol.signing import signed_bytes
from tests.adversary.dishonest_agent import DishonestAgent, but, refused_with
from tests.harness import soft_device as soft

# --- malformed messages, and messages at the wrong time ---


class _Framing(DishonestAgent):
    step: ClassVar[type] = Proof
    """The message whose frame is replaced."""

    def frames(self, payload: bytes) -> Iterable[bytes]:
        if isinstance(decode(payload), self.step):
            yield from self.instead(payload)
        else:
            yield encode_frame(payload)

    def instead(self, payload: bytes) -> Iterable[bytes]:
        return ()


@refused_with("link.frame-too-large")
class OversizedFrame(_Framing):
    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield b"\0" + b"x" * (2 * limits.FRAME_BYTES) + b"\0"


@refused_with("link.noise")
class NoiseWithoutEnd(_Framing):
    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield (b"x" * 1023 + b"\0") * (limits.NOISE_BYTES // 1024 + 2)


@refused_with("message.field-invalid")
class OversizedField(DishonestAgent):
    def testify(self, honest: Proof, after: bytes) -> Proof:
        return but(honest, csr=bytes(limits.CSR_BYTES + 1))


@refused_with("message.malformed")
class NoMessage(_Framing):
    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield encode_frame(b"\xc1" * 100)


@refused_with("message.malformed")
class NestedWithoutEnd(_Framing):
    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield encode_frame(b"\x81\xa1x" + b"\x91" * 60_000)


@refused_with("message.unknown")
class UnknownMessage(_Framing):
    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield encode_frame(msgspec.msgpack.encode({"t": "give-me-everything", "v": 1}))


@refused_with("message.version-unknown")
class UnknownVersion(_Framing):
    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield encode_frame(msgspec.msgpack.encode(msgspec.msgpack.decode(payload) | {"v": 99}))


@refused_with("session.unexpected-message")
class ReceiptBeforeTheProof(_Framing):
    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield encode_frame(encode(Receipt(body=b"x", signature=b"x")))
        yield encode_frame(payload)


@refused_with("session.unexpected-message")
class SecondIdentityThatDiffers(_Framing):
    step = Identity

    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield encode_frame(payload)
        yield encode_frame(encode(but(decode(payload), nonce=os.urandom(32))))


@refused_with("link.silent")
class MissingProof(_Framing):
    short_wait = True


@refused_with("link.silent")
class StationsOwnWordsForAProof(_Framing):
    """A Done, which only a station sends, in place of a Proof."""

    short_wait = True

    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield encode_frame(encode(Done()))


# --- after an honest Proof: the unit is issued but not provisioned ---


@refused_with("session.unexpected-message")
class ProofTwice(_Framing):
    earned = True

    def instead(self, payload: bytes) -> Iterable[bytes]:
        yield encode_frame(payload)
        yield encode_frame(payload)


@refused_with("link.silent")
class MissingReceipt(_Framing):
    earned, short_wait, step = True, True, Receipt


class _Receipting(DishonestAgent):
    earned = True

    def signed(self, body: bytes, after: bytes) -> Receipt:
        return Receipt(body=body, signature=self._tpm.device_key().sign(signed_bytes(ReceiptBody, after, body), _ECDSA))


_ECDSA: Final = ec.ECDSA(hashes.SHA256())


@refused_with("session.receipt-forged")
class ReceiptSignedByAnotherKey(_Receipting):
    def sign_for(self, honest: Receipt, after: bytes) -> Receipt:
        return but(honest, signature=soft.new_key().sign(signed_bytes(ReceiptBody, after, honest.body), _ECDSA))


@refused_with("session.receipt-forged")
class ReceiptOfAnotherSession(_Receipting):
    def sign_for(self, honest: Receipt, after: bytes) -> Receipt:
        return self.signed(honest.body, os.urandom(32))


@refused_with("session.receipt-differs")
class ReceiptForOtherThings(_Receipting):
    def sign_for(self, honest: Receipt, after: bytes) -> Receipt:
        return self.signed(encode(but(decode_body(ReceiptBody, honest.body), stored=bytes(32))), after)


@refused_with("session.receipt-differs")
class ReceiptForOneTable(_Receipting):
    def sign_for(self, honest: Receipt, after: bytes) -> Receipt:
        body = decode_body(ReceiptBody, honest.body)
        return self.signed(encode(but(body, tables=body.tables[:1])), after)


@refused_with("attestation.table-not-imported")
class TableKeyNotInTheTpm(_Receipting):
    """It sends a statement about the device key in place of one about a table key."""

    def sign_for(self, honest: Receipt, after: bytes) -> Receipt:
        body = decode_body(ReceiptBody, honest.body)
        made = self._tpm.certify_device_key(after)
        first = but(body.tables[0], attest=made.attest, signature=made.signature)
        return self.signed(encode(but(body, tables=(first, *body.tables[1:]))), after)
