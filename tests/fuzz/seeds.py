"""Makes honest inputs, from which the fuzzing of each target begins. The corpus does not keep them."""

from __future__ import annotations

from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from shared.protocol.framing import encode_frame
from shared.protocol.messages import encode
from shared.protocol.states import State
from station.authority import crl
from station.authority.crl import RevokedCertificate
from station.registry.records import CrlScope
from tests.fuzz.targets import VENDOR, ChainLab, agent_authority
from tests.harness import samples
from tests.harness.certificates import NOW, chain_of_trust
from tests.harness.rough_authorities import rough_authorities
from tests.harness.rough_vendors import rough_vendors
from tests.harness.soft_device import Device, certify
from tests.harness.soft_device import csr as request_of
from tests.harness.vendor_lab import SWTPM, Vendor, one_rdn_each


def _messages() -> list[bytes]:
    return [encode(message) for message in (*samples.ALL, *samples.BODIES)]


def _frames() -> list[bytes]:
    return [bytes([number]) + encode_frame(message) for number, message in enumerate(_messages())] + [
        b"\xffATZ\r\n\0\0login: "
    ]


def _sessions() -> list[bytes]:
    return [bytes([which]) + message for message in _messages() for which in range(2 * len(State))]


def _tpm_structures() -> list[bytes]:
    device = Device()
    public_areas = [key.public for key in (device.ek, device.ak, device.srk, device.device)]
    return [*public_areas, *certify(device.ak.name, device.ak)]


def _ek_certificates() -> list[bytes]:
    simulator = Vendor("swtpm-localca").ek(Device().ek.private.public_key(), tpm=one_rdn_each(SWTPM))
    own = [path.read_bytes() for path in sorted(VENDOR.glob("*.der"))]
    return [*own, *(certificate + bytes(16) for certificate in own), simulator, *rough_vendors().values()]


def _ek_chains() -> list[bytes]:
    """What the known vendor signs for the EK's issuer, the same as it must not be, and whole certificates."""
    lab = ChainLab()
    no_ca = x509.BasicConstraints(ca=False, path_length=None)
    device = Vendor("Issuing CA", lab.known, key=lab.issuing.key, constraints=no_ca)
    other = Vendor("Issuing CA", lab.known)
    certificates = [vendor.der for vendor in (lab.issuing, device, other)]
    signed = [x509.load_der_x509_certificate(der).tbs_certificate_bytes for der in certificates]
    return [*signed, Vendor("Issuing CA").der, *rough_vendors().values()]


def _agent_chains() -> list[bytes]:
    ours = agent_authority()
    silent = chain_of_trust(keys=(ours.root_key, ours.intermediate_key, ours.station_key, ours.device_key), usages=None)
    certificates = (ours.station, ours.device, ours.intermediate, silent.intermediate, ours.root)
    return [
        *(certificate.tbs_certificate_bytes for certificate in certificates),
        *rough_authorities(ours).values(),
    ]


def _station_lists() -> list[bytes]:
    ours = agent_authority()
    revoked = [RevokedCertificate(number, NOW, "keyCompromise") for number in (1, 1 << 158)]
    lists = [crl.revocation_list(ours.intermediate, revoked, 7, NOW, scope) for scope in CrlScope]
    return [made.sign(ours.intermediate_key, hashes.SHA256()).tbs_certlist_bytes for made in lists]


SEEDS: dict[str, Callable[[], list[bytes]]] = {
    "frames": _frames,
    "messages": _messages,
    "sessions": _sessions,
    "tpm_structures": _tpm_structures,
    "csr": lambda: [request_of(Device().device.private)],
    "ek_certificates": _ek_certificates,
    "ek_chains": _ek_chains,
    "agent_chains": _agent_chains,
    "agent_files": _agent_chains,
    "station_lists": _station_lists,
}
