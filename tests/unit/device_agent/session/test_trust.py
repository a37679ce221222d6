"""The agent trusts certificates of the station's profiles, and refuses every wrong one."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.session.trust import TrustedStation, verify_device_chain, verify_station
from shared.errors import BirthmarkError
from shared.types import board_serial
from tests.harness.certificates import NOW, SERIAL, SIGNED, AuthorityChain, chain_of_trust, key


@pytest.fixture(scope="module")
def ours() -> AuthorityChain:
    return chain_of_trust()


@pytest.fixture(scope="module")
def theirs() -> AuthorityChain:
    return chain_of_trust()


def trusted(
    chain_of_trust: AuthorityChain, root: x509.Certificate | None = None, at: dt.datetime = NOW
) -> TrustedStation:
    chain = chain_of_trust.chain(chain_of_trust.station)
    return verify_station(chain, int(at.timestamp()), SIGNED, chain_of_trust.sign(), root)


def code(call: object, *arguments: object) -> str:
    with pytest.raises(BirthmarkError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_a_station_of_the_pinned_root_is_trusted(ours: AuthorityChain) -> None:
    assert trusted(ours, ours.root).root == ours.root


def test_the_first_stations_root_is_taken_where_none_is_known(ours: AuthorityChain) -> None:
    assert trusted(ours).root == ours.root


def test_a_station_of_another_root_is_not(ours: AuthorityChain, theirs: AuthorityChain) -> None:
    assert code(trusted, theirs, ours.root) == "trust.station-untrusted"


def test_a_foreign_chain_does_not_become_ours_by_ending_in_our_root(
    ours: AuthorityChain, theirs: AuthorityChain
) -> None:
    chain = (*theirs.chain(theirs.station)[:2], ours.root.public_bytes(Encoding.DER))
    call = (chain, int(NOW.timestamp()), SIGNED, theirs.sign(), ours.root)
    assert code(verify_station, *call) == "trust.station-untrusted"


def test_a_device_cannot_play_station(ours: AuthorityChain) -> None:
    signature = ours.device_key.sign(SIGNED, ec.ECDSA(hashes.SHA256()))
    call = (ours.chain(ours.device), int(NOW.timestamp()), SIGNED, signature, ours.root)
    assert code(verify_station, *call) == "trust.not-a-station"


def test_an_intermediate_cannot_play_station(ours: AuthorityChain) -> None:
    signature = ours.intermediate_key.sign(SIGNED, ec.ECDSA(hashes.SHA256()))
    chain = ours.chain(ours.station)[1:]
    assert code(verify_station, chain, int(NOW.timestamp()), SIGNED, signature, ours.root) == "trust.station-untrusted"


@pytest.mark.parametrize("signature", [b"", b"x", b"\x30\x06\x02\x01\x01\x02\x01\x01"])
def test_a_signature_that_is_not_the_stations_is_seen(ours: AuthorityChain, signature: bytes) -> None:
    call = (ours.chain(ours.station), int(NOW.timestamp()), SIGNED, signature, ours.root)
    assert code(verify_station, *call) == "trust.station-forged"


def test_a_signature_over_something_else_is_seen(ours: AuthorityChain) -> None:
    call = (ours.chain(ours.station), int(NOW.timestamp()), SIGNED, ours.sign(b"else"), ours.root)
    assert code(verify_station, *call) == "trust.station-forged"


@pytest.mark.parametrize("years", [-1, 11])
def test_validity_is_judged_by_the_stations_time(ours: AuthorityChain, years: int) -> None:
    at = NOW + dt.timedelta(days=366 * years)
    assert code(trusted, ours, ours.root, at) == "trust.station-expired"


@pytest.mark.parametrize("time", [0, (1 << 40) - 1])
def test_no_time_a_hello_can_hold_is_an_error_of_ours(ours: AuthorityChain, time: int) -> None:
    call = (ours.chain(ours.station), time, SIGNED, ours.sign(), ours.root)
    assert code(verify_station, *call) == "trust.station-expired"


@pytest.mark.parametrize("chain", [(b"\x30\x00",), (b"not DER", b"neither", b"nor this")])
def test_an_invalid_certificate_is_not_trusted(ours: AuthorityChain, chain: tuple[bytes, ...]) -> None:
    call = (chain, int(NOW.timestamp()), SIGNED, ours.sign(), ours.root)
    assert code(verify_station, *call) == "trust.station-untrusted"


def test_a_device_chain_for_this_unit_is_taken(ours: AuthorityChain) -> None:
    station = trusted(ours, ours.root)
    chain = verify_device_chain(ours.chain(ours.device), station, ours.device_key.public_key(), SERIAL)
    assert chain == (ours.device, ours.intermediate, ours.root)


def test_a_device_chain_for_another_key_is_not(ours: AuthorityChain) -> None:
    call = (ours.chain(ours.device), trusted(ours), key().public_key(), SERIAL)
    assert code(verify_device_chain, *call) == "trust.chain-for-another"


def test_a_device_chain_for_another_serial_is_not(ours: AuthorityChain) -> None:
    call = (ours.chain(ours.device), trusted(ours), ours.device_key.public_key(), board_serial("other"))
    assert code(verify_device_chain, *call) == "trust.chain-for-another"


def test_a_device_chain_of_another_authority_is_not(ours: AuthorityChain, theirs: AuthorityChain) -> None:
    call = (theirs.chain(theirs.device), trusted(ours, ours.root), theirs.device_key.public_key(), SERIAL)
    assert code(verify_device_chain, *call) == "trust.chain-untrusted"


def test_a_stations_certificate_is_no_device_chain(ours: AuthorityChain) -> None:
    call = (ours.chain(ours.station), trusted(ours, ours.root), ours.station_key.public_key(), SERIAL)
    assert code(verify_device_chain, *call).startswith("trust.chain-")
