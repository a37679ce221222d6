"""The agent trusts certificates of the station's profiles, and refuses every wrong one."""

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from device_agent.build_date import BUILD_DATE
from device_agent.session.station_list import StationList
from device_agent.session.trust import Remembered, TrustedStation, verify_device_chain, verify_station
from device_agent.session.trusted_authority import TrustedAuthority
from shared.errors import BirthmarkError
from shared.types import board_serial
from shared.x509_profile import EKU_STATION
from station.authority import crl, profiles
from station.authority.crl import RevokedCertificate
from station.authority.profiles import BACKDATE
from station.registry.records import CrlScope
from tests.harness.certificates import (
    NOW,
    SERIAL,
    SIGNED,
    AuthorityChain,
    chain_of_trust,
    key,
    with_usages,
)

CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
FOR_SOMETHING_ELSE = (
    [ExtendedKeyUsageOID.SERVER_AUTH],
    [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE],
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE],
)


@pytest.fixture(scope="module")
def ours() -> AuthorityChain:
    return chain_of_trust()


@pytest.fixture(scope="module")
def theirs() -> AuthorityChain:
    return chain_of_trust()


def trusted(
    chain_of_trust: AuthorityChain,
    root: x509.Certificate | None = None,
    at: dt.datetime = NOW,
    *,
    intermediate: x509.Certificate | None = None,
) -> TrustedStation:
    chain = chain_of_trust.chain(chain_of_trust.station)
    authority = TrustedAuthority(root, intermediate) if root else None
    return verify_station(chain, int(at.timestamp()), SIGNED, chain_of_trust.sign(), authority)


def given(chain_of_trust: AuthorityChain, station: TrustedStation) -> tuple[x509.Certificate, ...]:
    """The device's chain, as the unit takes it from `station`."""
    chain = chain_of_trust.chain(chain_of_trust.device)
    return verify_device_chain(chain, station, chain_of_trust.device_key.public_key(), SERIAL)


def code(call: object, *arguments: object) -> str:
    with pytest.raises(BirthmarkError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.code


def test_a_station_of_the_pinned_root_is_believed(ours: AuthorityChain) -> None:
    assert trusted(ours, ours.root).authority.root == ours.root


def test_the_first_stations_root_is_taken_where_none_is_known(ours: AuthorityChain) -> None:
    assert trusted(ours).authority == TrustedAuthority(ours.root)


def test_a_station_of_another_root_is_not(ours: AuthorityChain, theirs: AuthorityChain) -> None:
    assert code(trusted, theirs, ours.root) == "trust.station-untrusted"


def test_a_foreign_chain_does_not_become_ours_by_ending_in_our_root(
    ours: AuthorityChain, theirs: AuthorityChain
) -> None:
    chain = (*theirs.chain(theirs.station)[:2], ours.root.public_bytes(Encoding.DER))
    call = (chain, int(NOW.timestamp()), SIGNED, theirs.sign(), TrustedAuthority(ours.root))
    assert code(verify_station, *call) == "trust.station-untrusted"


def test_a_device_cannot_play_station(ours: AuthorityChain) -> None:
    signature = ours.device_key.sign(SIGNED, ec.ECDSA(hashes.SHA256()))
    call = (ours.chain(ours.device), int(NOW.timestamp()), SIGNED, signature, TrustedAuthority(ours.root))
    assert code(verify_station, *call) == "trust.not-a-station"


def test_an_intermediate_cannot_play_station(ours: AuthorityChain) -> None:
    signature = ours.intermediate_key.sign(SIGNED, ec.ECDSA(hashes.SHA256()))
    call = (ours.chain(ours.station)[1:], int(NOW.timestamp()), SIGNED, signature, TrustedAuthority(ours.root))
    assert code(verify_station, *call) == "trust.station-untrusted"


@pytest.mark.parametrize("signature", [b"", b"x", b"\x30\x06\x02\x01\x01\x02\x01\x01"])
def test_a_signature_that_is_not_the_stations_is_seen(ours: AuthorityChain, signature: bytes) -> None:
    call = (ours.chain(ours.station), int(NOW.timestamp()), SIGNED, signature, TrustedAuthority(ours.root))
    assert code(verify_station, *call) == "trust.station-forged"


def test_a_signature_over_something_else_is_seen(ours: AuthorityChain) -> None:
    call = (ours.chain(ours.station), int(NOW.timestamp()), SIGNED, ours.sign(b"else"), TrustedAuthority(ours.root))
    assert code(verify_station, *call) == "trust.station-forged"


@pytest.mark.parametrize("years", [-1, 11])
def test_validity_is_judged_by_the_stations_time(ours: AuthorityChain, years: int) -> None:
    at = NOW + dt.timedelta(days=366 * years)
    assert code(trusted, ours, ours.root, at) == "trust.station-expired"


@pytest.mark.parametrize("time", [0, (1 << 40) - 1])
def test_no_time_a_hello_can_hold_is_an_error_of_ours(ours: AuthorityChain, time: int) -> None:
    call = (ours.chain(ours.station), time, SIGNED, ours.sign(), TrustedAuthority(ours.root))
    assert code(verify_station, *call) == "trust.station-expired"


@pytest.mark.parametrize("chain", [(b"\x30\x00",), (b"not DER", b"neither", b"nor this")])
def test_what_is_no_certificate_is_not_believed(ours: AuthorityChain, chain: tuple[bytes, ...]) -> None:
    call = (chain, int(NOW.timestamp()), SIGNED, ours.sign(), TrustedAuthority(ours.root))
    assert code(verify_station, *call) == "trust.station-untrusted"


def test_a_device_chain_for_this_unit_is_taken(ours: AuthorityChain) -> None:
    station = trusted(ours, ours.root)
    assert given(ours, station) == (ours.device, ours.intermediate, ours.root)


def test_a_device_chain_with_another_root_at_its_end_is_refused_and_not_remembered(
    ours: AuthorityChain, theirs: AuthorityChain
) -> None:
    """What is stored is what was verified: the last of it is what a unit without a pinned root trusts from then on."""
    station, own = trusted(ours, ours.root), ours.chain(ours.device)
    for chain in (
        (*own[:2], theirs.root.public_bytes(Encoding.DER)),
        (*own, theirs.root.public_bytes(Encoding.DER)),
        (own[0], theirs.intermediate.public_bytes(Encoding.DER), *own[1:]),
        own[:2],
    ):
        call = (chain, station, ours.device_key.public_key(), SERIAL)
        assert code(verify_device_chain, *call) == "trust.chain-untrusted"


def test_the_first_stations_root_is_the_one_that_its_chain_leads_to(
    ours: AuthorityChain, theirs: AuthorityChain
) -> None:
    own = ours.chain(ours.station)
    evil = theirs.root.public_bytes(Encoding.DER)
    for chain in ((*own[:2], evil), (*own, evil)):
        call = (chain, int(NOW.timestamp()), SIGNED, ours.sign(), None)
        assert code(verify_station, *call) == "trust.station-untrusted"


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


# --- who may issue ---


@pytest.mark.parametrize("usages", FOR_SOMETHING_ELSE)
def test_a_station_from_a_ca_for_something_else_under_the_same_root_is_refused(
    ours: AuthorityChain, usages: list[x509.ObjectIdentifier]
) -> None:
    """Though its leaf says that it is a station. Knowing that very CA does not help against what it says itself."""
    other = chain_of_trust(under=ours, usages=usages)
    assert code(trusted, other, ours.root) == "trust.authority-unfit"
    assert code(lambda: trusted(other, ours.root, intermediate=other.intermediate)) == "trust.authority-unfit"
    assert code(trusted, other) == "trust.authority-unfit"  # whoever is met first


def test_a_ca_that_names_no_usages_counts_only_where_it_is_known(ours: AuthorityChain) -> None:
    imported = chain_of_trust(usages=None)
    assert code(trusted, imported, imported.root) == "trust.intermediate-unpinned"
    assert code(lambda: trusted(imported, imported.root, intermediate=ours.intermediate)) == (
        "trust.intermediate-unpinned"
    )
    station = trusted(imported, imported.root, intermediate=imported.intermediate)
    assert given(imported, station) == (imported.device, imported.intermediate, imported.root)
    another = chain_of_trust(under=imported, usages=None)
    assert code(lambda: trusted(another, imported.root, intermediate=imported.intermediate)) == (
        "trust.intermediate-unpinned"
    )


def test_one_that_names_them_takes_the_place_of_one_that_does_not(ours: AuthorityChain) -> None:
    imported = chain_of_trust(usages=None)
    renewed = chain_of_trust(under=imported)
    trusted(renewed, imported.root, intermediate=imported.intermediate)


def test_the_intermediate_is_known_by_its_key_so_a_renewed_certificate_is_still_it() -> None:
    imported = chain_of_trust(usages=None)
    public_key = imported.intermediate_key.public_key()
    builder = profiles.intermediate("O", public_key, NOW + dt.timedelta(days=1), imported.root)
    renewed = with_usages(builder, None).sign(imported.root_key, hashes.SHA256())
    assert renewed != imported.intermediate
    trusted(imported, imported.root, intermediate=renewed)


def test_the_first_stations_intermediate_is_remembered_where_it_names_no_usages(ours: AuthorityChain) -> None:
    imported = chain_of_trust(usages=None)
    assert trusted(imported).authority == TrustedAuthority(imported.root, imported.intermediate)
    chain = given(imported, trusted(imported))
    assert TrustedAuthority.of(chain) == TrustedAuthority(imported.root, imported.intermediate)
    assert TrustedAuthority.of(given(ours, trusted(ours))) == TrustedAuthority(ours.root)


@pytest.mark.parametrize("usages", [[EKU_STATION], *FOR_SOMETHING_ELSE])
def test_a_device_chain_from_a_ca_that_is_not_for_devices_is_refused(
    ours: AuthorityChain, usages: list[x509.ObjectIdentifier]
) -> None:
    other = chain_of_trust(under=ours, usages=usages)
    assert code(given, other, trusted(ours, ours.root)) == "trust.authority-unfit"


def test_a_device_chain_from_a_ca_that_names_no_usages_is_refused_unless_it_is_known(ours: AuthorityChain) -> None:
    other = chain_of_trust(under=ours, usages=None)
    assert code(given, other, trusted(ours, ours.root)) == "trust.intermediate-unpinned"
    given(other, trusted(ours, ours.root, intermediate=other.intermediate))


def test_a_ca_for_stations_alone_may_certify_stations(ours: AuthorityChain) -> None:
    trusted(chain_of_trust(under=ours, usages=[EKU_STATION]), ours.root)
    assert code(trusted, chain_of_trust(under=ours, usages=[CLIENT]), ours.root) == "trust.authority-unfit"


def test_what_stands_above_the_known_intermediate_need_not_be_known_but_may_not_exclude_it() -> None:
    """A company's own: root, a CA for everything, and one for cameras; each may say what is issued under it."""

    def authority(
        name: str, own: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey, usages: object
    ) -> x509.Certificate:
        names = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)]) for text in (issuer, name)]
        identifier = x509.SubjectKeyIdentifier.from_public_key(own.public_key())
        builder = (
            x509.CertificateBuilder(names[0], names[1], own.public_key(), x509.random_serial_number())
            .not_valid_before(NOW - dt.timedelta(days=1))
            .not_valid_after(NOW + dt.timedelta(days=999))
            .add_extension(identifier, critical=False)
            .add_extension(x509.BasicConstraints(True, None), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
        )
        return with_usages(builder, usages).sign(issuer_key, hashes.SHA256())  # type: ignore[arg-type]

    root_key, middle_key, low_key, station_key = (key() for _ in range(4))
    root = authority("root", root_key, "root", root_key, None)
    low = authority("low", low_key, "middle", middle_key, None)
    station = profiles.station("O", "s", station_key.public_key(), NOW, low).sign(low_key, hashes.SHA256())
    signature = station_key.sign(SIGNED, ec.ECDSA(hashes.SHA256()))

    def meet(middle_usages: object, known: x509.Certificate | None, *, first: bool = False) -> TrustedStation:
        middle = authority("middle", middle_key, "root", root_key, middle_usages)
        chain = tuple(certificate.public_bytes(Encoding.DER) for certificate in (station, low, middle, root))
        authority_known = None if first else TrustedAuthority(root, known)
        return verify_station(chain, int(NOW.timestamp()), SIGNED, signature, authority_known)

    meet(None, low)
    assert meet(None, None, first=True).authority == TrustedAuthority(root, low)
    assert code(meet, None, None) == "trust.intermediate-unpinned"
    assert code(meet, None, authority("middle", middle_key, "root", root_key, None)) == "trust.intermediate-unpinned"
    assert code(meet, [EKU_STATION], None) == "trust.intermediate-unpinned"
    assert code(meet, [ExtendedKeyUsageOID.SERVER_AUTH], low) == "trust.authority-unfit"


# --- revoked stations, and the earliest time ---


def station_list(
    chain_of_trust: AuthorityChain, number: int, *revoked: int, at: dt.datetime = NOW, by: AuthorityChain | None = None
) -> bytes:
    entries = [RevokedCertificate(serial, at, "keyCompromise") for serial in revoked]
    builder = crl.revocation_list(chain_of_trust.intermediate, entries, number, at, CrlScope.STATIONS)
    signer = (by or chain_of_trust).intermediate_key
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def met(
    chain_of_trust: AuthorityChain,
    sent: bytes = b"",
    kept: bytes = b"",
    at: dt.datetime = NOW,
    earliest: dt.datetime = BUILD_DATE,
) -> TrustedStation:
    return verify_station(
        chain_of_trust.chain(chain_of_trust.station),
        int(at.timestamp()),
        SIGNED,
        chain_of_trust.sign(),
        TrustedAuthority(chain_of_trust.root),
        revoked_stations=sent,
        remembered=Remembered(earliest, StationList.read(kept) if kept else None),
    )


def number(station: TrustedStation) -> int | None:
    return station.station_list.number if station.station_list else None


def test_a_station_on_its_authoritys_list_is_refused_whichever_end_has_the_list(ours: AuthorityChain) -> None:
    lists_it, lists_another = station_list(ours, 2, ours.station.serial_number), station_list(ours, 1, 4711)
    assert code(met, ours, lists_it) == "trust.station-revoked"
    assert code(met, ours, b"", lists_it) == "trust.station-revoked"
    assert code(met, ours, lists_another, lists_it) == "trust.station-revoked"
    assert number(met(ours, lists_another)) == 1


def test_the_newer_list_counts(ours: AuthorityChain) -> None:
    older, newer = station_list(ours, 2, 4711), station_list(ours, 3)
    assert number(met(ours, newer, older)) == number(met(ours, older, newer)) == 3
    assert number(met(ours, b"", older)) == 2
    assert number(met(ours)) is None


def test_a_list_that_its_issuer_has_not_signed_is_refused(ours: AuthorityChain, theirs: AuthorityChain) -> None:
    assert code(met, ours, station_list(ours, 9, by=theirs)) == "trust.station-list-forged"
    assert code(met, ours, b"no list") == "trust.station-list-forged"


def test_a_kept_list_of_another_intermediate_neither_counts_nor_stays(
    ours: AuthorityChain, theirs: AuthorityChain
) -> None:
    far = station_list(theirs, 9_999, ours.station.serial_number, at=NOW + dt.timedelta(days=3000))
    assert number(met(ours, station_list(ours, 1), far)) == 1
    assert number(met(ours, b"", far)) is None


def test_no_time_counts_before_what_the_authority_has_signed(ours: AuthorityChain) -> None:
    end = ours.station.not_valid_after_utc
    later = end + dt.timedelta(days=1)
    assert met(ours, at=end).time == end
    assert code(met, ours, b"", b"", NOW, later) == "trust.station-expired"
    assert code(met, ours, station_list(ours, 1, at=later + BACKDATE)) == "trust.station-expired"
    assert code(met, ours, b"", station_list(ours, 1, at=later + BACKDATE)) == "trust.station-expired"


def test_a_slow_clock_does_not_shut_an_honest_station_out(ours: AuthorityChain) -> None:
    """Its certificate is judged at the earliest possible time, not at the one that it says."""
    later = NOW + dt.timedelta(days=9)
    assert met(ours, station_list(ours, 1, at=later + BACKDATE)).time == later


def test_no_time_counts_before_the_agent_was_built(ours: AuthorityChain) -> None:
    old = chain_of_trust(BUILD_DATE - dt.timedelta(days=profiles.STATION_DAYS + 1))
    assert code(met, old, b"", b"", BUILD_DATE - dt.timedelta(days=2)) == "trust.station-expired"
