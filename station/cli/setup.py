"""`birthmark-station setup`: makes a station and starts its service; run again, does what is still undone."""

from __future__ import annotations

import os
import socket
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, TextIO

import click

from runtime.files import write_private
from runtime.owner import ROOT, acting_as, owner_of
from station import config as configuration
from station.attestation.ek.roots import load_ek_roots
from station.attestation.ek.vendor_files import read_vendor_files
from station.cli import answers, service
from station.cli.answers import Options
from station.cli.common import AS_JSON, print_json
from station.cli.data_directory import GIVEN_DATA_DIR, SERVICE_DATA_DIR
from station.cli.init import AUTHORITY_ID, EK_POLICY, EK_ROOTS, EK_TEMPLATE, HOSTS, PLAIN_HTTP, TABLES
from station.cli.public_url import warn_unreachable
from station.cli.tpm_vendors import UPDATE_VENDORS, ask_update, fetch
from station.config import CONFIG_NAME, EkPolicy, EkTemplateName, StationConfig, WebConfig
from station.secrets.station_secret import StationSecret
from station.setup import data_dir as data_directory
from station.setup.init import init_data_dir
from station.setup.root_key import ROOT_KEY_NAME, ROOT_PASSPHRASE_NAME, move_root_key

_STEPS: Final = ("Settings", "Authority", "TPM vendors", "Root key", "Service")


@click.command()
@GIVEN_DATA_DIR
@click.option("--name", help="This station's name.")
@click.option("--organization", help="Organization in every certificate.")
@click.option("--public-url", help="Where others reach it; every certificate names it.")
@EK_ROOTS
@UPDATE_VENDORS
@click.option("--root-key-to", type=click.Path(path_type=Path), help="Where to move the root's key: directory or file.")
@click.option(
    "--root-passphrase-file", type=click.File("r"), help="First line encrypts the root's key; `-`: standard input."
)
@AUTHORITY_ID
@TABLES
@EK_POLICY
@EK_TEMPLATE
@HOSTS
@PLAIN_HTTP
@click.option("--yes", is_flag=True, help="Leave out vendors' certificates and the root key's move, unless given.")
@AS_JSON
def setup(
    data_dir: Path | None,
    name: str | None,
    organization: str | None,
    public_url: str | None,
    ek_roots: Path | None,
    update_vendors: bool,
    root_key_to: Path | None,
    root_passphrase_file: TextIO | None,
    authority_id: str,
    table_count: int,
    ek_policy: str,
    ek_template: str,
    hosts: tuple[str, ...],
    plain_http: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Make the station and start its service.

    Asks at a terminal for what no option answers. Run again, it changes no setting, prints what is there, and does what
    is still undone.
    """
    options = Options(
        name,
        organization,
        public_url,
        ek_roots,
        update_vendors,
        root_key_to,
        root_passphrase_file,
        authority_id,
        table_count,
        EkPolicy(ek_policy),
        EkTemplateName(ek_template),
        WebConfig(hosts=list(hosts), plain_http=list(plain_http)),
        yes,
    )
    done = _Setup(data_dir or SERVICE_DATA_DIR, options, quiet=as_json).run()
    if as_json:
        print_json(done)


class _Setup:
    """The five steps. Reads and writes the station's files as their owner."""

    def __init__(self, data_dir: Path, options: Options, *, quiet: bool) -> None:
        self._data_dir = data_dir
        self._options = options
        self._quiet = quiet
        self._served = data_dir == SERVICE_DATA_DIR
        self._made = False
        self._update_vendors = options.update_vendors
        self._root_key_to = options.root_key_to
        self._root_key: Path | None = None
        self._page: str | None = None

    def run(self) -> dict[str, object]:
        if self._served:
            if os.geteuid() != ROOT:
                raise click.UsageError(
                    "The service's station is made by root: sudo birthmark-station setup. "
                    "For a station of your own give --data-dir DIR."
                )
            service.make_home(service.service_user())
        with self._as_owner():
            there = data_directory.is_station(self._data_dir)
        config = self._find() if there else self._make()
        known = self._vendors(config)
        self._move_root_key()
        self._start()
        self._end(config)
        return {
            "data_dir": str(self._data_dir),
            "made": self._made,
            "name": config.name,
            "organization": config.authority.organization,
            "public_url": config.authority.public_url,
            "vendor_certificates": known,
            "root_key_moved_to": str(self._root_key) if self._root_key else None,
            "root_key_left": self._root_key_left(),
            "page": self._page,
        }

    # --- the steps ---

    def _make(self) -> StationConfig:
        given = answers.collect(self._options, self._data_dir)
        config = given.config
        self._step(1, f"{config.name} of {config.authority.organization}, {config.authority.public_url}")
        init_data_dir(self._data_dir, config, force=False, root_passphrase=given.passphrase, ek_roots=given.ek_roots)
        self._made = True
        self._update_vendors = given.update_vendors
        self._root_key_to = given.root_key_to
        self._step(2, f"made in {self._data_dir}, with {config.tables.count} key tables")
        return config

    def _find(self) -> StationConfig:
        with self._as_owner():
            data_directory.check(self._data_dir, supplied=StationSecret.supplied())
            config = configuration.load(self._data_dir / CONFIG_NAME)
        self._step(1, f"{config.name} of {config.authority.organization}, {config.authority.public_url}: as it is")
        asked = {
            "--name": (self._options.name, config.name),
            "--organization": (self._options.organization, config.authority.organization),
            "--public-url": (self._options.public_url, config.authority.public_url),
        }
        for option, (given, present) in asked.items():
            if given not in (None, present):
                self._warn(f"{option} is not taken over: it is {present}, set in {self._data_dir / CONFIG_NAME}.")
        self._step(2, f"there already, in {self._data_dir}; nothing is changed")
        if self._root_key_left():
            self._root_key_to = answers.ask_root_key_to(self._options, self._data_dir)
        return config

    def _vendors(self, config: StationConfig) -> int:
        directory = config.ek_roots(self._data_dir)
        given = read_vendor_files(self._options.ek_roots) if self._options.ek_roots and not self._made else {}
        with self._as_owner():
            for name, content in given.items():
                if not os.path.lexists(directory / name):
                    write_private(directory / name, content)
            roots = load_ek_roots(directory)
            if not self._made and not roots.count:
                self._update_vendors = ask_update(
                    self._update_vendors, config.attestation.ek_policy, ask=not self._options.yes and not self._quiet
                )
            if self._update_vendors:
                fetch(directory, quiet=self._quiet)
                roots = load_ek_roots(directory)
        self._step(3, f"{roots.count} certificates known")
        for problem in roots.problems:
            self._warn(problem)
        if not roots.count and config.attestation.ek_policy is EkPolicy.REQUIRE:
            self._warn(
                "every genuine TPM is refused until its vendor's certificate is there: run "
                "`birthmark-station tpm-vendors update`, or setup again with --update-vendors or --ek-roots DIR."
            )
        return roots.count

    def _move_root_key(self) -> None:
        target = self._root_key_to
        if not self._root_key_left():
            self._step(4, "not on this station")
        elif target is None:
            self._step(4, f"still in {self._data_dir / ROOT_KEY_NAME}")
            self._warn("who has the root key is the authority: run setup again with --root-key-to PLACE.")
        else:
            self._root_key = move_root_key(self._data_dir, target)
            self._step(4, f"moved to {self._root_key}, encrypted; lock it away")
        if self._left(ROOT_PASSPHRASE_NAME):
            self._warn(f"its passphrase lies in {self._data_dir / ROOT_PASSPHRASE_NAME}: move it, not beside the key.")

    def _start(self) -> None:
        if not self._served:
            self._step(5, f"none for this directory: birthmark-station serve --data-dir {self._data_dir}")
        elif not service.systemd_runs():
            self._step(5, "not started, for systemd does not run here: sudo birthmark-station serve")
        else:
            service.start()
            self._page = service.page_address()
            self._step(5, "started, and at every boot")

    def _end(self, config: StationConfig) -> None:
        warn_unreachable(config.authority, config.attestation.ek_policy)
        if self._page is None:
            return
        self._say(f"The page: {self._page}")
        self._say("It is opened by the link that this prints: sudo birthmark-station open")
        self._say(f"From another machine: ssh -L 8001:127.0.0.1:8001 {socket.gethostname()}, then the same link there.")

    # --- output ---

    def _as_owner(self) -> AbstractContextManager[None]:
        return acting_as(owner_of(self._data_dir))

    def _root_key_left(self) -> bool:
        return self._left(ROOT_KEY_NAME)

    def _left(self, name: str) -> bool:
        with self._as_owner():
            return os.path.lexists(self._data_dir / name)

    def _step(self, number: int, result: str) -> None:
        self._say(f"{number}/{len(_STEPS)} {_STEPS[number - 1]}: {result}")

    def _say(self, text: str) -> None:
        click.echo(text, err=self._quiet)

    def _warn(self, text: str) -> None:
        click.echo(f"warning: {text}", err=True)
