"""Dishonest agents: each is the real one with one step changed, and names the code it is to be refused with.

A new lie is a new subclass of `DishonestAgent`; the suite finds it. No test lives here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeVar

import msgspec
from tpm2_pytss import (
    TPM2B_PUBLIC,
    TPMA_OBJECT,
)

from device_agent.session.agent_session import AgentContext, AgentSession
from device_agent.session.link import Link
from device_agent.storage.identity import IdentityStore
from device_agent.tpm import Tpm
from shared.errors import BirthmarkError
from shared.protocol.framing import FrameDecoder, encode_frame
from shared.protocol.messages import Challenge, ChallengeBody, Credentials, Hello, Identity, Proof, Receipt, decode_body
from station.attestation.tpm2.structures import Attributes
from tests.harness.vendor_lab import Maker

KNOWN_MAKER: Final = Maker("A Maker the Station Knows")
"""Its certificate is among the station's roots."""


class StubbornTpm(Tpm):
    """Guesses where an honest agent gives up."""

    def activate(self, id_object: bytes, encrypted_secret: bytes) -> bytes:
        try:
            return super().activate(id_object, encrypted_secret)
        except BirthmarkError:
            return bytes(32)


@dataclass
class AttackerTools:
    """What a liar may use beside its own TPM."""

    other: Tpm
    """Another genuine TPM, in the same hands."""
    earlier: Proof
    """What this very TPM proved to another station."""


class DishonestAgent(AgentSession):
    """Honest as it stands."""

    code: ClassVar[str] = ""
    """What the station refuses it with."""
    earned: ClassVar[bool] = False
    """Whether the lie comes after an honest proof, so that a unit is issued, never provisioned."""
    impatient: ClassVar[bool] = False
    """Whether the station finds out by waiting."""
    template: ClassVar[dict[str, Callable[[], TPM2B_PUBLIC]]] = {}
    """Templates of `device_agent.tpm.templates` that this agent's keys are made from instead."""

    def __init__(self, tpm: Tpm, store: IdentityStore, context: AgentContext, tools: AttackerTools) -> None:
        super().__init__(tpm, store, context)
        self.tools = tools

    # --- the steps, and what a liar makes of them ---

    def claim(self, honest: Identity) -> Identity:
        return honest

    def testify(self, honest: Proof, after: bytes) -> Proof:
        return honest

    def sign_for(self, honest: Receipt, after: bytes) -> Receipt:
        return honest

    def frames(self, payload: bytes) -> Iterable[bytes]:
        """The bytes that go out in place of a message's frame."""
        yield encode_frame(payload)

    def identify(self, hello: Hello, transcript: bytes) -> Identity:
        return self.claim(super().identify(hello, transcript))

    def prove(self, challenge: Challenge, before: bytes, after: bytes) -> Proof:
        self.body = decode_body(ChallengeBody, challenge.body)
        return self.testify(super().prove(challenge, before, after), after)

    def accept(self, credentials: Credentials, before: bytes, after: bytes) -> Receipt:
        return self.sign_for(super().accept(credentials, before, after), after)


class TamperingLine:
    """A line on which a liar's frames go out in place of the honest ones."""

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
    """`message` with some of its fields changed, to values that no sender may give them, if need be."""
    return msgspec.structs.replace(message, **change)


def without(template: Callable[[], TPM2B_PUBLIC], *attributes: TPMA_OBJECT) -> Callable[[], TPM2B_PUBLIC]:
    def make() -> TPM2B_PUBLIC:
        public = template()
        for attribute in attributes:
            public.publicArea.objectAttributes &= ~attribute
        return public

    return make


def claiming(public: bytes, attributes: Attributes) -> bytes:
    """A TPMT_PUBLIC that says it has these attributes, too."""
    return public[:4] + (int.from_bytes(public[4:8], "big") | attributes).to_bytes(4, "big") + public[8:]
