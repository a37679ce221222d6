"""Collects what `setup` must know, from options or at a terminal."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import click

from shared.errors import BirthmarkError
from station.attestation.ek.vendor_files import read_vendor_files
from station.cli.common import check_passphrase, read_root_passphrase
from station.cli.init import settings
from station.cli.tpm_vendors import ask_update
from station.config import EkPolicy, EkTemplateName, StationConfig, WebConfig
from station.setup.root_key import check_target

_LATER: Final = ""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command line; None for one that was not given."""

    name: str | None
    organization: str | None
    public_url: str | None
    ek_roots: Path | None
    update_vendors: bool
    root_key_to: Path | None
    root_passphrase_file: IO[str] | None
    authority_id: str
    table_count: int
    policy: EkPolicy
    ek_template: EkTemplateName
    web: WebConfig
    yes: bool


@dataclass(frozen=True, slots=True)
class Answers:
    config: StationConfig
    ek_roots: Path | None
    update_vendors: bool
    root_key_to: Path | None
    passphrase: str


def collect(options: Options, data_dir: Path) -> Answers:
    """Collect and check everything for a new station.

    Asks only at a terminal, and asks again after an invalid answer. Raises `setup.answer-missing`, `config.invalid` and
    `data.root-key-unmoved`.
    """
    asks = sys.stdin.isatty()
    if not asks:
        _require_all(options)
    passphrase = read_root_passphrase(options.root_passphrase_file)
    if options.ek_roots is not None:
        read_vendor_files(options.ek_roots)
    if options.root_key_to is not None:
        check_target(data_dir, options.root_key_to)

    def config(name: str, organization: str, public_url: str) -> StationConfig:
        return settings(
            name,
            organization,
            options.authority_id,
            public_url,
            options.table_count,
            options.policy,
            options.ek_template,
            options.web,
        )

    some = ("station", "organization", "http://station.example")
    name = options.name or _ask("Name of this station", lambda v: config(v, *some[1:]), socket.gethostname())
    organization = options.organization or _ask("Organization", lambda v: config(some[0], v, some[2]))
    public_url = options.public_url or _ask(
        "Public address: others reach the station there, and every certificate names it\n"
        "  (https://station.example.org)",
        lambda v: config(some[0], some[1], v),
    )
    ek_roots, root_key_to = options.ek_roots, options.root_key_to
    update_vendors = ask_update(options.update_vendors, options.policy, ask=ek_roots is None and not options.yes)
    if ek_roots is None and not update_vendors and asks and not options.yes:
        ek_roots = _ask_path(
            "TPM vendors' certificates, a directory or a file\n"
            "  (empty: none; the station then refuses every genuine TPM until there are some)",
            read_vendor_files,
        )
    if root_key_to is None and asks and not options.yes:
        root_key_to = _ask_path(
            "Where the root key goes, encrypted: a directory or a new file, best on a medium to be locked away\n"
            "  (empty: later; until then it lies on this station)",
            lambda path: check_target(data_dir, path),
        )
    if passphrase is None:
        passphrase = _ask("Passphrase for the root key, 12 characters or more", check_passphrase, hidden=True)
    return Answers(config(name, organization, public_url), ek_roots, update_vendors, root_key_to, passphrase)


def ask_root_key_to(options: Options, data_dir: Path) -> Path | None:
    """Ask where to move the root's key of an existing station."""
    if options.root_key_to is not None or options.yes or not sys.stdin.isatty():
        return options.root_key_to
    return _ask_path(
        "The root key still lies on this station. Where it goes: a directory or a new file\n  (empty: later)",
        lambda path: check_target(data_dir, path),
    )


def _require_all(options: Options) -> None:
    needed = {
        "--name": options.name,
        "--organization": options.organization,
        "--public-url": options.public_url,
        "--root-passphrase-file": options.root_passphrase_file,
    }
    skippable = {
        "--update-vendors or --ek-roots": options.ek_roots if not options.update_vendors else True,
        "--root-key-to": options.root_key_to,
    }
    missing = [name for name, given in needed.items() if given is None]
    left_out = [f"{name} (or --yes)" for name, given in skippable.items() if given is None and not options.yes]
    if missing or left_out:
        raise BirthmarkError("setup.answer-missing", ", ".join(missing + left_out))


def _ask(question: str, check: Callable[[str], object], default: str | None = None, *, hidden: bool = False) -> str:
    def accept(value: str) -> str:
        try:
            check(value)
        except BirthmarkError as error:
            raise click.BadParameter(error.sentence) from error
        return value

    answer: str = click.prompt(
        question, default=default, hide_input=hidden, confirmation_prompt=hidden, value_proc=accept, err=True
    )
    return answer


def _ask_path(question: str, check: Callable[[Path], object]) -> Path | None:
    answer = _ask(question, lambda value: check(Path(value).expanduser()) if value else None, _LATER)
    return Path(answer).expanduser() if answer else None
