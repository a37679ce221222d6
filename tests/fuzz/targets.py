"""What is fuzzed: every reader of bytes that a device sends, and of the certificates that a station does.

Each takes bytes and raises where a claim of its is false. Used by the fuzzer (`make fuzz`), and by the replay of what
it found (`test_corpus.py`, in `make test`).
"""

from __future__ import annotations

import atexit
import base64
import datetime as dt
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from device_agent.cli.status import summary
from device_agent.session.station_list import StationList
from device_agent.session.trust import TrustedStation, verify_device_chain, verify_station
from device_agent.session.trusted_authority import (
    TrustedAuthority,
    load_authority,
    load_intermediate,
    load_root,
    read_intermediate,
    read_root,
)
from device_agent.storage.endorsement_key import EndorsementKey
from device_agent.storage.identity import Identity, IdentityFile, Secrets, StoredTable, read_chain
from device_agent.storage.tpm_blob import Blob
from shared import limits
from shared.errors import BirthmarkError
from shared.protocol.framing import FrameDecoder, encode_frame
from shared.protocol.messages import BodyT, ChallengeBody, CredentialsBody, ReceiptBody, decode, decode_body, encode
from shared.protocol.states import Role, State
from shared.types import board_serial
from shared.x509_profile import UNREADABLE
from station.attestation.csr import examine_csr
from station.attestation.ek.der_repair import repair_der, strip_padding
from station.attestation.ek.roots import EkRoots, load_ek_roots
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.attestation.ek.verification import EkTrust, verify_ek
from station.attestation.tpm2.structures import read_certified, read_public, read_signature
from station.config import EkPolicy
from station.provisioning.offline import key_of_csr
from tests.harness.certificates import NOW as CHAIN_NOW
from tests.harness.certificates import SERIAL as CHAIN_SERIAL
from tests.harness.certificates import SIGNED, AuthorityChain, chain_of_trust, signed_octets
from tests.harness.samples import session_in
from tests.harness.vendor_lab import Vendor, write_roots

HERE: Final = Path(__file__).parent
VENDOR: Final = HERE / "vendor"
"""A vendor's root (root.pem), and an EK certificate that it issued (ek.der): the only one that may pass."""

_STATION_NAMED: Final = bytes.fromhex("060a2b0601040183d4600301")
_CLIENT_NAMED: Final = bytes.fromhex("06082b06010505070302")
"""The two extended key usages in DER."""

_BLOB: Final = Blob(public=b"", private=b"")
_SECRETS: Final = Secrets(tables=(StoredTable(table_id=1, key=_BLOB),), nuc_hash=_BLOB, nuc_map_key=_BLOB)
_ABOUT: Final = IdentityFile(
    serial="a",
    model="m",
    authority_id="a",
    validation_endpoint="u",
    station="s",
    table_ids=(1,),
    tpm="simulator",
    tpm_manufacturer="t",
    tpm_firmware="1",
    ek=EndorsementKey(template="EK-L-2", name="000b" + "00" * 32),
)

_NOW: Final = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)


def frames(octets: bytes) -> None:
    """In pieces or as a whole a stream gives the same frames, the decoder holds at most one, and each can be sent."""
    size = octets[0] + 1 if octets else 1
    pieces, whole = FrameDecoder(), FrameDecoder()
    found = [frame for at in range(0, len(octets), size) for frame in pieces.receive(octets[at : at + size])]
    assert found == whole.receive(octets)
    assert len(pieces._held) <= limits.FRAME_BYTES + 1024
    for frame in found:
        assert FrameDecoder().receive(encode_frame(frame)) == [frame]


def messages(octets: bytes) -> None:
    """A message is read or refused; what was read is the same after being sent again."""
    with suppress(BirthmarkError):
        message = decode(octets)
        assert decode(encode(message)) == message
    _bodies(ChallengeBody, octets)
    _bodies(CredentialsBody, octets)
    _bodies(ReceiptBody, octets)


def _bodies(kind: type[BodyT], octets: bytes) -> None:
    with suppress(BirthmarkError):
        body = decode_body(kind, octets)
        assert decode_body(kind, encode(body)) == body


def sessions(octets: bytes) -> None:
    """An end of a session, in any state, never raises and never sends more than one answer, whatever it receives."""
    which, said = octets[0] if octets else 0, octets[1:]
    session = session_in(list(Role)[which % 2], list(State)[which // 2 % len(State)])
    for part in (said, encode_frame(said)):
        list(session.receive(part))
    assert len(session.take_outgoing()) < 1024


def tpm_structures(octets: bytes) -> None:
    """A structure is read to its last byte or refused."""
    for read in (read_public, read_certified, read_signature):
        with suppress(BirthmarkError):
            read(octets)
            for wrong in (octets + b"\0", octets[:-1]):
                with suppress(BirthmarkError):
                    read(wrong)
                    raise AssertionError(f"{read.__name__} overlooks a byte")


def csr(octets: bytes) -> None:
    """A certificate request is accepted or refused, from the cable and from elsewhere."""
    with suppress(BirthmarkError):
        key_of_csr(octets, board_serial("10000000abcdef01"))
    with suppress(BirthmarkError):
        examine_csr(octets, _ek().key, board_serial("10000000abcdef01"))  # type: ignore[arg-type]


def ek_certificates(octets: bytes) -> None:
    """A certificate is judged or refused under every policy, and only the vendor's own passes as the vendor's.

    Fields are read from the original and from the repaired form (`der_repair`), which must agree.
    """
    with suppress(BirthmarkError):
        repair_der(strip_padding(octets))
    try:
        certificate = VendorCertificate.read(octets)
        key = certificate.key
        assert certificate.openssl.get_pubkey().to_cryptography_key() == key
        assert certificate.openssl.get_serial_number() == certificate.view.serial_number
        assert repair_der(repair_der(certificate.der)) == repair_der(certificate.der)
    except BirthmarkError:
        key = _ek().key
    for policy in EkPolicy:
        with suppress(BirthmarkError):
            verdict = verify_ek(octets, _roots(), policy, now=_NOW, key=key)
            assert policy is not EkPolicy.REQUIRE or verdict.trust is EkTrust.VERIFIED
            assert verdict.trust is not EkTrust.VERIFIED or _ek().signed in octets


def ek_chains(octets: bytes) -> None:
    """A chip that brings `octets` above its EK is accepted only where the known vendor signed a CA for the EK's issuer.

    `octets` stands there as it is, and as what the vendor or a forger signs, so that all behind a signature is met.
    """
    lab = _chain_lab()
    forged = signed_octets(octets, lab.forger.key)
    for chain in ([octets], [forged, lab.forger.der], [octets, forged] * 100):
        with suppress(BirthmarkError):
            verify_ek(lab.ek, lab.roots, EkPolicy.REQUIRE, now=_NOW, key=lab.key, chain=chain)
            raise AssertionError("a chain that no known vendor signed is accepted")
    with suppress(BirthmarkError):
        verify_ek(
            lab.ek, lab.roots, EkPolicy.REQUIRE, now=_NOW, key=lab.key, chain=[signed_octets(octets, lab.known.key)]
        )
        assert lab.issuing_point in octets


def agent_chains(octets: bytes) -> None:
    """A station is believed or refused, a device chain taken or not, wherever in it a certificate of `octets` stands.

    `octets` is what the CA above signs, so that what is wrong with it is met behind the signature, too. Under our root
    nothing is believed that does not name its usage.
    """
    ours, time = agent_authority(), int(CHAIN_NOW.timestamp())
    leaf = signed_octets(octets, ours.intermediate_key)
    issuer, root = signed_octets(octets, ours.root_key), ours.root.public_bytes(Encoding.DER)
    known = TrustedAuthority(ours.root)
    station = ours.chain(ours.station)
    for chain in ((leaf, *station[1:]), (station[0], issuer, root)):
        with suppress(BirthmarkError):
            verify_station(chain, time, SIGNED, ours.sign(), known)
            assert _STATION_NAMED in octets
    for chain in ((leaf, *station[1:]), (station[0], issuer, root), (*station[:2], issuer)):  # whoever is first
        with suppress(BirthmarkError):
            verify_station(chain, time, SIGNED, ours.sign(), None)
    proven, device = TrustedStation(ours.station_key.public_key(), known, CHAIN_NOW), ours.chain(ours.device)
    for chain in ((leaf, *device[1:]), (device[0], issuer, root)):
        with suppress(BirthmarkError):
            verify_device_chain(chain, proven, ours.device_key.public_key(), CHAIN_SERIAL)
            assert _CLIENT_NAMED in octets


def agent_files(octets: bytes) -> None:
    """A root, an intermediate and an identity's chain are read from files or refused, with `octets` in each.

    What is read can be shown, compared and remembered.
    """
    ours = agent_authority()
    for issuer in (ours.root_key, ours.intermediate_key):
        der = signed_octets(octets, issuer)
        pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
        with suppress(BirthmarkError):
            read_root(pem)
        with suppress(BirthmarkError):
            read_intermediate(pem, ours.root)
        for data in (pem, der):
            _file().write_bytes(data)
            for load in (load_root, load_intermediate, load_authority):
                with suppress(BirthmarkError):
                    load(_file())
        with suppress(BirthmarkError):
            read_intermediate(ours.intermediate.public_bytes(Encoding.PEM), load_root(_file()))
        with suppress(*UNREADABLE):
            chain = read_chain(pem + ours.intermediate.public_bytes(Encoding.PEM) + pem)
            identity = Identity(Path(), Path(), _ABOUT, _SECRETS, chain, provisioned=True)
            msgspec.json.encode(summary(identity))
            identity.is_for(ours.device_key.public_key())
            _file().write_bytes(TrustedAuthority.of(chain).pem())
            load_authority(_file())


@cache
def _file() -> Path:
    memory = Path("/dev/shm")  # many times as fast as a disk
    folder = tempfile.mkdtemp(prefix="birthmark-fuzz-", dir=memory if memory.is_dir() else None)
    atexit.register(shutil.rmtree, folder)
    return Path(folder) / "certificate"


def station_lists(octets: bytes) -> None:
    """A list of revoked stations is read or refused, and counts only when the station's issuer signed it."""
    ours, known = agent_authority(), TrustedAuthority(agent_authority().root)
    chain, time = ours.chain(ours.station), int(CHAIN_NOW.timestamp())
    for sent in (octets, signed_octets(octets, ours.intermediate_key)):
        with suppress(ValueError):
            assert len(StationList.read(sent).revoked) <= limits.REVOKED_STATIONS
        with suppress(BirthmarkError):
            verify_station(chain, time, SIGNED, ours.sign(), known, revoked_stations=sent)
            assert not sent or sent is not octets


@cache
def agent_authority() -> AuthorityChain:
    """The authority of `agent_chains`: the same keys each time, for what was kept to reach what it did."""
    root, intermediate, station, device = (ec.derive_private_key(number, ec.SECP256R1()) for number in range(11, 15))
    return chain_of_trust(keys=(root, intermediate, station, device))


class _Ek:
    def __init__(self) -> None:
        certificate = VendorCertificate.read((VENDOR / "ek.der").read_bytes())
        self.key = certificate.key
        self.signed = certificate.openssl.to_cryptography().tbs_certificate_bytes


class ChainLab:
    """A known vendor, a forger, and an EK certificate whose issuer the station does not know."""

    def __init__(self) -> None:
        self.known, self.forger = (
            Vendor("Known Root CA", key=ec.derive_private_key(number, ec.SECP256R1())) for number in (21, 22)
        )
        self.issuing = Vendor("Issuing CA", self.known, key=ec.derive_private_key(23, ec.SECP256R1()))
        self.issuing_point = self.issuing.key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.key = ec.derive_private_key(24, ec.SECP256R1()).public_key()
        self.ek = self.issuing.ek(self.key)
        with TemporaryDirectory() as folder:
            self.roots = load_ek_roots(write_roots(Path(folder), self.known))


@cache
def _chain_lab() -> ChainLab:
    return ChainLab()


@cache
def _ek() -> _Ek:
    return _Ek()


@cache
def _roots() -> EkRoots:
    return load_ek_roots(VENDOR)


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__: target
    for target in (
        frames,
        messages,
        sessions,
        tpm_structures,
        csr,
        ek_certificates,
        ek_chains,
        agent_chains,
        agent_files,
        station_lists,
    )
}

MOST_BYTES: Final = {"frames": 8192, "messages": 4096, "sessions": 4096, "tpm_structures": 1024}
"""The longest input of each target where it is not 4 KiB."""
