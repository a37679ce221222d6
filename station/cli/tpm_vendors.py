"""`birthmark-station tpm-vendors`: the TPM vendors' certificates that this station knows."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.table import Table

from runtime.owner import acting_as, owner_of
from shared.errors import BirthmarkError, ErrorCode, ExitCode
from shared.text import printable
from station import config as configuration
from station.attestation.ek import vendor_table
from station.attestation.ek.issuer_hints import issuer_address
from station.attestation.ek.roots import EkRoots, load_ek_roots
from station.attestation.ek.vendor_certificate import VendorCertificate
from station.attestation.ek.vendor_files import read_vendor_certificates
from station.attestation.ek.vendor_table import PinnedCertificate
from station.cli.common import AS_JSON, print_json, print_table
from station.cli.data_directory import DATA_DIR, OWN_DATA_DIR
from station.config import EkPolicy, StationConfig
from station.setup import data_dir as data_directory
from station.setup import vendor_store

if TYPE_CHECKING:  # it loads aiohttp, which no other command needs
    from station.setup.vendor_download import Outcome

UPDATE_VENDORS: Final = click.option(
    "--update-vendors", is_flag=True, help="Fetch TPM vendors' certificates from the vendors, as `tpm-vendors update`."
)

_HEXADECIMAL: Final = frozenset("0123456789abcdef")
_PREFIX_CHARACTERS: Final = 8

_LEFT_OUT_SAID: Final = 64
"""The most that `add` names of what it leaves out."""


@click.group("tpm-vendors")
def tpm_vendors() -> None:
    """Show and complete the TPM vendors' certificates, by which the station knows genuine TPMs."""


@tpm_vendors.command()
@DATA_DIR
@AS_JSON
def update(data_dir: Path, as_json: bool) -> None:
    """Fetch the vendors' certificates that are missing, from the vendors' own servers.

    What is fetched counts only if it is what this program's table names by its SHA-256, or an intermediate that one of
    those roots signed. Run again, it goes on where it ended. A running station uses what is there at once.

    Exits with 0 when all are there, with 1 when some are not, and with 75 when servers did not answer.
    """
    directory = _directory(data_dir)
    fetched = fetch(directory, quiet=as_json)
    known = load_ek_roots(directory).count
    if as_json:
        print_json(fetched.described(directory, known))
    else:
        _print_update(fetched, known)
    sys.exit(fetched.exit_code)


@tpm_vendors.command()
@OWN_DATA_DIR
@click.argument("source", metavar="FILE|DIR", type=click.Path(path_type=Path, exists=True))
@AS_JSON
def add(data_dir: Path, source: Path, as_json: bool) -> None:
    """Add the certificates in FILE, or in each file of DIR: PEM, a bundle of any number, or DER.

    Whoever's certificate is added is trusted to say which TPMs are genuine. What cannot be read or may issue no
    certificates is named and left out.
    """
    found = read_vendor_certificates(source)
    if not found.certificates:
        raise BirthmarkError("vendors.none-readable", "; ".join(found.left_out[:3]))
    with acting_as(owner_of(data_dir)):
        directory = _directory(data_dir)
        added = vendor_store.store(directory, found.certificates, load_ek_roots(directory))
        roots = load_ek_roots(directory)
    there = len({c.der for c in found.certificates}) - len(added)
    for why in found.left_out[:_LEFT_OUT_SAID]:
        click.echo(f"warning: {why}", err=True)
    if (more := len(found.left_out) - _LEFT_OUT_SAID) > 0:
        click.echo(f"warning: {more} more are left out", err=True)
    if as_json:
        print_json(
            {
                "added": [_described(certificate, roots) for certificate in added],
                "there": there,
                "left_out": found.left_out[:_LEFT_OUT_SAID],
                "known": roots.count,
            }
        )
        return
    for certificate in added:
        click.echo(f"Added {_title(certificate)}, SHA-256 {certificate.sha256}.")
    click.echo(f"{len(added)} added, {there} there already, {len(found.left_out)} left out; {roots.count} are known.")


@tpm_vendors.command("list")
@DATA_DIR
@AS_JSON
def list_vendors(data_dir: Path, as_json: bool) -> None:
    """List the certificates that the station knows, and how many of each vendor's are missing."""
    roots = _roots(data_dir)
    listed = [_described(certificate, roots) for certificate in _all(roots)]
    missing = _missing(roots)
    if as_json:
        print_json(
            {
                "directory": str(roots.directory),
                "certificates": listed,
                "missing": [{"vendor": p.vendor, "name": p.name, "address": p.address} for p in missing],
                "problems": roots.problems,
            }
        )
        return
    table = Table("Name", "Kind", "From", "Until", "SHA-256")
    for entry in listed:
        kind = "distrusted" if entry["distrusted"] else "root" if entry["root"] else "intermediate"
        row = (entry["name"], kind, entry["vendor"] or "added by hand", entry["until"], str(entry["sha256"])[:16])
        table.add_row(*map(str, row))
    print_table(table)
    click.echo(f"{roots.count} certificates are known, in {roots.directory}.")
    for vendor, count in Counter(pinned.vendor for pinned in missing).items():
        click.echo(f"{count} of {vendor}'s are missing: birthmark-station tpm-vendors update")
    for problem in roots.problems:
        click.echo(f"warning: {problem}", err=True)


@tpm_vendors.command()
@DATA_DIR
@click.argument("certificate", metavar="NAME|SHA-256")
@AS_JSON
def show(data_dir: Path, certificate: str, as_json: bool) -> None:
    """Show one certificate: by its name, by part of it, or by the beginning of its SHA-256 (8 digits or more)."""
    roots = _roots(data_dir)
    shown = [_described(found, roots) for found in _find(certificate, roots)]
    if as_json:
        print_json(shown)
        return
    for number, entry in enumerate(shown):
        if number:
            click.echo()
        for key, value in entry.items():
            text = ", ".join(value) if isinstance(value, list) else "yes" if value is True else value or "–"
            click.echo(f"{key.replace('_', ' '):<12}{text}")


@tpm_vendors.command()
@DATA_DIR
@click.argument("certificate", metavar="NAME|SHA-256")
@AS_JSON
def distrust(data_dir: Path, certificate: str, as_json: bool) -> None:
    """Distrust one certificate's key: no TPM under it counts, even one that brings the certificate itself.

    So the CAs that it issued count no more either. For a CA that its vendor has revoked. To trust it again, delete the
    file whose name is printed. Units that were provisioned stay as they are.
    """
    roots = _roots(data_dir)
    found = _find(certificate, roots)
    if len(found) > 1:
        names = ", ".join(f"{_title(each)} ({each.sha256[:16]})" for each in found[:4])
        raise BirthmarkError("vendors.unknown", f"{len(found)} are meant: {names}")
    path = vendor_store.distrust(roots.directory, found[0])
    left = load_ek_roots(roots.directory)
    gone = roots.count - left.count - 1
    if as_json:
        print_json({"distrusted": found[0].sha256, "file": str(path), "known": left.count})
    else:
        also = f", and with it {gone} that it issued" if gone > 0 else ""
        click.echo(f"{_title(found[0])} is distrusted{also}: {path}")


# --- fetching, for `init` and `setup`, too ---


@dataclass(frozen=True, slots=True)
class Fetched:
    """What became of each certificate of the table."""

    outcomes: Sequence[Outcome]

    @property
    def exit_code(self) -> ExitCode:
        codes = {outcome.error.exit_code for outcome in self.outcomes if outcome.error}
        return ExitCode.OK if not codes else ExitCode.TRY_AGAIN if codes == {ExitCode.TRY_AGAIN} else ExitCode.FAILED

    def by_vendor(self) -> Mapping[str, Counter[str]]:
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for outcome in self.outcomes:
            counts[outcome.pinned.vendor][outcome.result.value] += 1
        return counts

    def warnings(self) -> list[str]:
        """Return a sentence for each thing that failed; one for all certificates that a server did not give."""
        said: dict[tuple[str, ErrorCode], list[Outcome]] = defaultdict(list)
        for outcome in self.outcomes:
            if outcome.error:
                silent = outcome.error.code == "vendors.unreachable"
                said[outcome.pinned.vendor if silent else outcome.pinned.name, outcome.error.code].append(outcome)
        sentences = []
        for (whose, _), failed in said.items():
            error = failed[0].error
            assert error is not None  # noqa: S101 - what was counted above
            count = f" ({len(failed)} certificates)" if len(failed) > 1 else ""
            sentences.append(f"{whose}{count}: {error}")
        return sentences

    def described(self, directory: Path, known: int) -> Mapping[str, object]:
        return {
            "directory": str(directory),
            "known": known,
            "vendors": [{"vendor": vendor, **counts} for vendor, counts in self.by_vendor().items()],
            "failed": [
                {
                    "vendor": outcome.pinned.vendor,
                    "name": outcome.pinned.name,
                    "address": outcome.pinned.address,
                    "code": outcome.error.code,
                    "reason": outcome.error.sentence,
                }
                for outcome in self.outcomes
                if outcome.error
            ],
        }


def fetch(directory: Path, *, quiet: bool) -> Fetched:
    """Fetch what is missing; shows progress at a terminal, unless `quiet`, and warns of what failed."""
    from station.setup.vendor_download import fetch_vendors

    table = vendor_table.pinned_certificates()
    if quiet:
        fetched = Fetched(asyncio.run(fetch_vendors(directory, table, lambda _: None)))
    else:
        with click.progressbar(length=len(table), label="TPM vendors' certificates", file=sys.stderr) as bar:
            fetched = Fetched(asyncio.run(fetch_vendors(directory, table, lambda _: bar.update(1))))
    for warning in fetched.warnings():
        click.echo(f"warning: {warning}", err=True)
    return fetched


def ask_update(given: bool, policy: EkPolicy, *, ask: bool) -> bool:
    """Return whether to fetch: as given, else as answered at a terminal. Does not ask for a station of simulators."""
    if given or not ask or policy is EkPolicy.SIMULATOR or not sys.stdin.isatty():
        return given
    table = vendor_table.pinned_certificates()
    vendors = ", ".join(dict.fromkeys(pinned.vendor for pinned in table))
    return click.confirm(
        f"By TPM vendors' certificates the station knows genuine TPMs. Fetch {len(table)} ({vendors}; 160 kB)\n"
        "  from the vendors' own servers now?",
        default=True,
        err=True,
    )


def warn_of_no_vendor(data_dir: Path, config: StationConfig) -> None:
    """Warn on standard error when every genuine TPM is refused because the station knows no vendor."""
    with acting_as(owner_of(data_dir)):
        known = load_ek_roots(config.ek_roots(data_dir)).count
    if not known and config.attestation.ek_policy is EkPolicy.REQUIRE:
        click.echo(
            "warning: every genuine TPM is refused until its vendor's certificate is there: run "
            "`birthmark-station tpm-vendors update` or `tpm-vendors add DIR`.",
            err=True,
        )


# --- reading the directory ---


def _directory(data_dir: Path) -> Path:
    data_directory.check(data_dir)
    return configuration.load(data_dir / configuration.CONFIG_NAME).ek_roots(data_dir)


def _roots(data_dir: Path) -> EkRoots:
    return load_ek_roots(_directory(data_dir))


def _all(roots: EkRoots) -> list[VendorCertificate]:
    """Return every certificate that counts, then those that are distrusted; each once."""
    return list({c.der: c for c in (*roots.issuers, *roots.distrusted, *roots.under_distrusted)}.values())


def _missing(roots: EkRoots) -> list[PinnedCertificate]:
    there = {c.sha256 for found in roots.files.values() for c in found}
    return [pinned for pinned in vendor_table.pinned_certificates() if pinned.sha256 not in there]


def _find(asked: str, roots: EkRoots) -> list[VendorCertificate]:
    """Return those of that SHA-256, else those of that name, else those whose name holds `asked`."""
    wanted = asked.casefold().replace(":", "")
    everything = _all(roots)
    ways: list[Callable[[VendorCertificate], bool]] = [
        lambda c: c.common_name.casefold() == asked.casefold(),
        lambda c: asked.casefold() in c.common_name.casefold(),
    ]
    if len(wanted) >= _PREFIX_CHARACTERS and set(wanted) <= _HEXADECIMAL:
        ways.insert(0, lambda c: c.sha256.startswith(wanted))
    for way in ways:
        if found := [certificate for certificate in everything if way(certificate)]:
            return found
    raise BirthmarkError("vendors.unknown", printable(asked, 80))


def _title(certificate: VendorCertificate) -> str:
    return certificate.common_name or printable(certificate.subject) or "without a name"


def _described(certificate: VendorCertificate, roots: EkRoots) -> dict[str, object]:
    pinned = {p.sha256: p for p in vendor_table.pinned_certificates()}.get(certificate.sha256)
    files = [name for name, found in roots.files.items() if any(c.der == certificate.der for c in found)]
    distrusted = roots.distrusts(certificate)
    return {
        "name": _title(certificate),
        "subject": printable(certificate.subject),
        "issuer": printable(certificate.issuer),
        "root": certificate.subject == certificate.issuer,
        "anchor": "" if distrusted else printable(roots.path(certificate)[-1].subject),
        "sha256": certificate.sha256,
        "until": f"{certificate.view.not_valid_after_utc:%Y-%m-%d}",
        "vendor": pinned.vendor if pinned else None,
        "address": pinned.address if pinned else None,
        "above": issuer_address(certificate.der) or None,
        "distrusted": distrusted,
        "files": files,
    }


def _print_update(fetched: Fetched, known: int) -> None:
    for vendor, counts in fetched.by_vendor().items():
        total = counts.total()
        there = total - counts["failed"] - counts["distrusted"]
        distrusted = f", {counts['distrusted']} distrusted" if counts["distrusted"] else ""
        click.echo(f"{vendor}: {there} of {total}, {counts['fetched']} of them new{distrusted}")
    click.echo(f"{known} certificates of TPM vendors are known.")
