"""`birthmark-station ek`: checks an EK certificate without its TPM."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from runtime.clock import utc_now
from runtime.files import read_bounded
from runtime.owner import acting_as, owner_of
from shared import limits
from shared.ek_chain import certificates_in
from shared.errors import BirthmarkError, ExitCode, format_error
from station import config as configuration
from station.attestation.ek.bundle import read_bundle
from station.attestation.ek.issuer_path import read_chain
from station.attestation.ek.roots import EkRoots, load_ek_roots
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.attestation.ek.vendor_table import pinned_certificates
from station.attestation.ek.verification import EkVerdict, MissingIssuer, judge_certificate, missing_issuer
from station.cli.common import AS_JSON, print_json
from station.cli.data_directory import GIVEN_DATA_DIR, find
from station.setup import data_dir as data_directory


@click.group()
def ek() -> None:
    """Check EK certificates, in which TPM vendors vouch for their TPMs."""


@ek.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--roots",
    "roots_dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of TPM vendors' certificates, PEM or DER.",
)
@click.option(
    "--chain",
    "chain_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What the TPM brings of its issuers' certificates, PEM, or DER one after the other.",
)
@GIVEN_DATA_DIR
@AS_JSON
def verify(file: Path, roots_dir: Path | None, chain_file: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Check the EK certificate in FILE: DER as read from a TPM, with or without padding, or PEM.

    Prints that it is accepted, with root, vendor and model, and exits with 0; or that it is refused and why, and exits
    with 1. Checks what a station with the policy `require` checks, except that the TPM has this key. If a certificate
    above it is missing, prints which, and where the chip says that its vendor publishes it; a chip may say anything, so
    nothing is fetched from there.

    \b
    Reading one from a TPM (RSA, then ECC P-256), and what some TPMs have of their issuers' certificates:
      tpm2_nvread -C o 0x01C00002 > ek.der
      tpm2_nvread -C o 0x01C0000A > ek.der
      tpm2_nvread -C o 0x01C00100 > chain.der
    """
    roots = _roots(roots_dir, data_dir)
    for problem in roots.problems:
        click.echo(f"warning: {problem}", err=True)
    missing = None
    try:
        certificate = _read(file)
        chain = _read_chain(chain_file) if chain_file else ()
        missing = missing_issuer(certificate, roots, chain)
        verdict = judge_certificate(certificate, roots, utc_now(), chain)
    except BirthmarkError as error:
        if error.code != "attestation.ek-untrusted":
            missing = None
        if as_json:
            print_json(_describe_refused(error, missing))
        else:
            click.echo(f"refused: {format_error(error).removeprefix('error: ')}")
            if missing is not None:
                click.echo(f"  missing  {missing.name}")
                click.echo(f"  address  {_address(missing)}")
            click.echo(f"  {_count_known(roots)}")
        sys.exit(ExitCode.FAILED)
    if as_json:
        print_json(_describe_accepted(verdict))
    else:
        _print_verdict(verdict)


def _roots(roots: Path | None, data_dir: Path | None) -> EkRoots:
    if roots is not None:
        return load_ek_roots(roots)
    data_dir = find(data_dir, instead="--roots DIR")
    with acting_as(owner_of(data_dir)):
        data_directory.check(data_dir)
        return load_ek_roots(configuration.load(data_dir / configuration.CONFIG_NAME).ek_roots(data_dir))


def _read(file: Path) -> VendorCertificate:
    try:
        with file.open("rb") as opened:
            content = opened.read(4 * limits.CERTIFICATE_BYTES)  # PEM with text before it is larger than its DER
    except OSError as error:
        raise BirthmarkError("attestation.ek-malformed", f"{file}: {error.strerror}") from error
    if not content:
        raise BirthmarkError("attestation.ek-malformed", f"{file} is empty")
    found = read_bundle(content)
    if (count := len(found.certificates) + len(found.left_out)) > 1:
        raise BirthmarkError("attestation.ek-malformed", f"{file} holds {count} certificates, not one")
    for why in found.left_out:
        raise BirthmarkError("attestation.ek-malformed", why)
    return found.certificates[0]


def _read_chain(file: Path) -> tuple[VendorCertificate, ...]:
    try:
        content = read_bounded(file, limits.EK_CHAIN_CERTIFICATES * limits.EK_CHAIN_CERTIFICATE_BYTES * 4)
    except OSError as error:
        raise BirthmarkError("attestation.ek-malformed", f"{file}: {error.strerror}") from error
    if b"-----BEGIN" in content:
        return read_bundle(content).certificates[: limits.EK_CHAIN_CERTIFICATES]
    return read_chain(list(certificates_in(content)))


def _vendor_address(missing: MissingIssuer) -> str:
    """Return where its vendor publishes it, as our table knows; empty if it does not."""
    subject = missing.name.replace("\\", "")
    for pinned in pinned_certificates():
        if re.search(rf"(?:^|[,+])CN={re.escape(pinned.name)}(?:$|[,+])", subject):
            return pinned.address
    return ""


def _address(missing: MissingIssuer) -> str:
    if known := _vendor_address(missing):
        return f"{known} (`birthmark-station tpm-vendors update` fetches it)"
    return f"{missing.address} (as the chip says)" if missing.address else "the chip gives none"


def _print_verdict(verdict: EkVerdict) -> None:
    click.echo(f"accepted: vouched for by {verdict.anchor}")
    if verdict.facts is not None:
        facts = verdict.facts
        click.echo(f"  vendor   {facts.manufacturer_name} ({facts.manufacturer})")
        click.echo(f"  model    {facts.model or '–'}")
        click.echo(f"  version  {facts.version or '–'}")
    if verdict.reason:
        click.echo(f"  note     {verdict.reason}")


def _count_known(roots: EkRoots) -> str:
    return f"{roots.count} vendors' certificates are known."


def _describe_accepted(verdict: EkVerdict) -> Mapping[str, object]:
    facts = verdict.facts
    return {
        "accepted": True,
        "trust": verdict.trust.value,
        "anchor": verdict.anchor,
        "note": verdict.reason,
        "manufacturer": facts.manufacturer if facts else None,
        "manufacturer_name": facts.manufacturer_name if facts else None,
        "model": facts.model if facts else None,
        "version": facts.version if facts else None,
    }


def _describe_refused(error: BirthmarkError, missing: MissingIssuer | None) -> Mapping[str, object]:
    return {
        "accepted": False,
        "code": error.code,
        "reason": error.sentence,
        "advice": error.advice,
        "missing": {
            "name": missing.name,
            "key_identifier": missing.key_identifier,
            "address": missing.address,
            "vendor_address": _vendor_address(missing),
        }
        if missing
        else None,
    }
