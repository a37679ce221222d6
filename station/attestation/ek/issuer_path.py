"""Finds the way from an EK certificate up to a certificate that the station knows.

A chip may bring certificates of its own (TCG EK Credential Profile 2.5: NV 0x01C00100 to 0x01C001FF). They close a gap
under a certificate of the station's directory, and are never an anchor: whoever made the chip may have put anything
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared import limits
from shared.errors import BirthmarkError
from station.attestation.ek.roots import EkRoots, why_no_path
from station.attestation.ek.vendor_certificate import VendorCertificate


@dataclass(frozen=True, slots=True)
class IssuerPath:
    """The way up from an EK certificate, as far as there is one."""

    brought: tuple[VendorCertificate, ...]
    """The chip's own certificates that it leads through, the EK's issuer first."""
    known: VendorCertificate | None
    """The certificate of the directory that it meets; None if it meets none."""
    problem: str = ""
    """Why the way that there is does not count."""

    def anchor(self, roots: EkRoots) -> VendorCertificate | None:
        """Return the highest known certificate."""
        return roots.path(self.known)[-1] if self.known else None


def read_chain(octets: Sequence[bytes]) -> tuple[VendorCertificate, ...]:
    """Read the certificates that a chip brings; what cannot be read is left out, as if the chip had not sent it."""
    read = []
    for one in octets[: limits.EK_CHAIN_CERTIFICATES]:
        try:
            read.append(VendorCertificate.read(one))
        except BirthmarkError:
            continue
    return tuple(read)


def issuer_path(certificate: VendorCertificate, roots: EkRoots, chain: Sequence[VendorCertificate] = ()) -> IssuerPath:
    """Find the shortest way up.

    Each certificate of `chain` is reached once at most, so that a loop ends and the signatures to verify are few.
    """
    unused = [own for own in chain if not own.why_no_issuer() and not roots.distrusts(own)]
    reached: list[tuple[VendorCertificate, tuple[VendorCertificate, ...]]] = [(certificate, ())]
    problem = ""
    for below, brought in reached:
        for known in roots.named(below.issuer):
            if below.is_issued_by(known):
                problem = why_no_path([*brought, *roots.path(known)])
                if not problem:
                    return IssuerPath(brought, known)
        for own in [own for own in unused if own.der != below.der and below.is_issued_by(own)]:
            unused = [other for other in unused if other.der != own.der]
            reached.append((own, (*brought, own)))
    return IssuerPath(reached[-1][1], None, problem)
