"""The base of dishonest agents: each changes one step of the real agent and names the code of its refusal.

A new attack is a subclass of `DishonestAgent` with the decorator `refused_with`, which adds it to the suite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Final, TypeVar

import msgspec
from tpm2_pytss import (
    TPM2B_PUBLIC,
    TPMA_OBJECT,
)

from device_agent.session.agent_session import AgentContext, AgentSession, ProvenUnit
from device_agent.session.link import Link
from device_agent.storage.identity import IdentityStore
from device_agent.tpm import Tpm
from shared.errors import BirthmarkError
from shared.protocol.framing import FrameDecoder, encode_frame
from shared.protocol.messages import Challenge, ChallengeBody, Credentials, Hello, Identity, Proof, Receipt, decode_body
from station.attestation.tpm2.structures import Attributes
from tests.harness.vendor_lab import Vendor

KNOWN_VENDOR: Final = Vendor("A Vendor the Station Knows")
"""A TPM vendor whose certificate is among the station's roots."""


class StubbornTpm(Tpm):
    """Returns a guess where activation fails and an honest agent stops."""

    def activate(self, id_object: bytes, encrypted_secret: bytes) -> bytes:
        try:
            return super().activate(id_object, encrypted_secret)
        except BirthmarkError:
            return bytes(32)


@dataclass
class AttackerTools:
    """What a dishonest agent may use besides its own TPM."""

    other: Tpm
    """Another genuine TPM of the same attacker."""
    earlier: Proof
    """What the same TPM proved to another station."""


class DishonestAgent(AgentSession):
    """Honest unless a subclass overrides a step."""

    code: ClassVar[str] = ""
    """The code that the station refuses it with."""
    earned: ClassVar[bool] = False
    """Whether the attack follows an honest Proof, so that the unit is issued but not provisioned."""
    short_wait: ClassVar[bool] = False
    """Whether the station detects it by a time-out."""
    template: ClassVar[dict[str, Callable[[], TPM2B_PUBLIC]]] = {}
    """Templates that replace those of `device_agent.tpm.templates` for this agent's keys."""

    def __init__(self, tpm: Tpm, store: IdentityStore, context: AgentContext, tools: AttackerTools) -> None:
        super().__init__(tpm, store, context)
        self.tools = tools

    # --- the steps that a dishonest agent overrides ---

    def claim(self, honest: Identity) -> Identity:
        return honest

    def testify(self, honest: Proof, after: bytes) -> Proof:
        return honest

    def sign_for(self, honest: Receipt, after: bytes) -> Receipt:
        return honest

    def frames(self, payload: bytes) -> Iterable[bytes]:
        """The bytes to send in place of a message's frame."""
        yield encode_frame(payload)

    def identify(self, hello: Hello, transcript: bytes) -> Identity:
        return self.claim(super().identify(hello, transcript))

    def prove(self, hello: Hello, challenge: Challenge, before: bytes, after: bytes) -> ProvenUnit:
        self.body = decode_body(ChallengeBody, challenge.body)
        honest = super().prove(hello, challenge, before, after)
        return replace(honest, message=self.testify(honest.message, after))

    def accept(self, proven: ProvenUnit, credentials: Credentials, before: bytes, after: bytes) -> Receipt:
        return self.sign_for(super().accept(proven, credentials, before, after), after)


class TamperingLine:
    """A line that replaces each outgoing frame with those of `frames`."""

    def __init__(self, link: Link, frames: Callable[[bytes], Iterable[bytes]]) -> None:
        self._link = link
        self._frames = frames
        self._decoder = FrameDecoder()

    def read(self, seconds: float) -> bytes:
        return self._link.read(seconds)

    def write(self, data: bytes, seconds: float) -> None:
        for payload in self._decoder.receive(data):
            self._link.write(b"".join(self._frames(payload)), seconds)


DISHONEST_AGENTS: Final[list[type[DishonestAgent]]] = []


def refused_with(code: str) -> Callable[[type[DishonestAgent]], type[DishonestAgent]]:
    def register(dishonest: type[DishonestAgent]) -> type[DishonestAgent]:
        dishonest.code = code
        DISHONEST_AGENTS.append(dishonest)
        return dishonest

    return register


StructT = TypeVar("StructT", bound=msgspec.Struct)


def but(message: StructT, **change: object) -> StructT:
    """Return `message` with some fields changed, also to values that no sender may give them."""
    return msgspec.structs.replace(message, **change)


def without(template: Callable[[], TPM2B_PUBLIC], *attributes: TPMA_OBJECT) -> Callable[[], TPM2B_PUBLIC]:
    def make() -> TPM2B_PUBLIC:
        public = template()
        for attribute in attributes:
            public.publicArea.objectAttributes &= ~attribute
        return public

    return make


def claiming(public: bytes, attributes: Attributes) -> bytes:
    """Return a TPMT_PUBLIC that claims these attributes as well."""
    return public[:4] + (int.from_bytes(public[4:8], "big") | attributes).to_bytes(4, "big") + public[8:]
