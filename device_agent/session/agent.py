"""Puts an agent together from the command line's options: state directory, TPM, board, NUC map, authority."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from device_agent.board.device_tree import read_board
from device_agent.build_date import BUILD_DATE
from device_agent.session.agent_session import AgentContext, AgentSession
from device_agent.session.awaited_map import FileWatch, read_whole_map
from device_agent.session.station_list import StationList
from device_agent.session.trust import Remembered
from device_agent.session.trusted_authority import TrustedAuthority, load_authority, load_intermediate, load_root
from device_agent.storage.disk import Disk
from device_agent.storage.identity import KEPT, Identity, IdentityStore, SealedMap
from device_agent.storage.sealed_map import NucMap
from device_agent.tpm import Tpm
from device_agent.tpm.source import TpmSource
from shared.errors import BirthmarkError
from shared.protocol.messages import NotReady
from shared.types import NucHash

_AUTHORITY: Final = "root.pem"
"""The authority that a unit trusts after its identity was removed: root, and intermediate if it knows one."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of `birthmark-agent run`."""

    state_dir: Path
    tpm: str
    nuc_map: Path | None
    keep_nuc_map: bool
    serial: str | None
    root_certificate: Path | None
    model: str | None = None
    intermediate_certificate: Path | None = None
    """Of the authority of `root_certificate`; nothing without that one."""
    wait_for_map: bool = False
    """Whether the file of `nuc_map` may come later."""


class Agent:
    """An agent that is ready for sessions."""

    def __init__(
        self,
        options: Options,
        tpm: TpmSource,
        disk: Disk | None = None,
        say: Callable[[str], None] = lambda _text: None,
        findings: Callable[[], tuple[str, ...]] = lambda: (),
        lacking: Callable[[BirthmarkError | None], None] = lambda _lack: None,
    ) -> None:
        """`say` gets a sentence for each action besides provisioning; `findings` looks at what is amiss on this Pi.

        `lacking` hears each change of what this unit waits for before any session, and None when it waits no more.
        """
        self._say = say
        self._tell_lack = lacking
        self._findings = findings
        self._disk = disk or Disk()
        self._options = options
        self._tpm = tpm
        self.store: Final = IdentityStore(options.state_dir, self._disk)
        self._board = read_board(options.serial, options.model)
        self._pinned = _pinned(options)
        self._clear_map: Path | None = None
        """The file with the map that is sealed in the identity, or will be; it goes once the unit is provisioned."""
        self.store.tidy()
        self._lack: BirthmarkError | None = None
        self._watch = FileWatch(options.nuc_map) if options.nuc_map is not None and options.wait_for_map else None
        self._nuc_map = self._find_nuc_map()

    def prepare(self) -> None:
        """Open the TPM and make its keys, which takes seconds on a chip, before a station waits for them.

        Raises `tpm.not-this-one` or `tpm.another-ek` when the existing identity was made with another TPM.
        """
        self._tpm_of(self.store.load()).public_areas()

    def lack(self) -> BirthmarkError | None:
        """Return why this unit cannot begin a session yet: its NUC map is missing. Looks for it, cheaply."""
        if self._lack is not None and self._watch is not None and self._watch.changed():
            self._nuc_map = self._find_nuc_map()
        return self._lack

    def not_ready(self, transcript: bytes) -> NotReady:
        """Make the answer to a Hello of a unit that lacks its NUC map. `transcript` is the digest after the Hello."""
        return NotReady(hello=transcript, model=self._board.model, serial=self._board.serial, code="nuc.map-missing")

    def agent_session(self) -> AgentSession:
        """Make the unit's side of one session."""
        known = self.store.load()
        authority = self._authority(known)
        context = AgentContext(
            self._board,
            self._tpm.name,
            self._nuc_map,
            authority,
            self._remembered(known, authority),
            self._findings(),
        )
        return AgentSession(self._tpm.get(), self.store, context)

    def failed(self, error: BirthmarkError) -> None:
        """Handle a failed session: if the TPM was the cause, open it again for the next."""
        if error.code.startswith("tpm."):
            self._tpm.drop()

    def provisioned(self) -> None:
        """Remove the clear NUC map, which is now stored sealed."""
        if self._clear_map is not None:
            self._nuc_map = None
            self._disk.remove(self._clear_map)
            self._disk.sync(self._clear_map.parent)
            self._say(f"The NUC map is sealed in the identity; the clear file {self._clear_map} was removed.")
            self._clear_map = None

    def _tpm_of(self, known: Identity | None) -> Tpm:
        """Return the TPM, which encrypts only to the endorsement key of `known`, if that is its identity."""
        tpm = self._tpm.get()
        if known is not None:
            if not known.is_for(tpm.device_public_key()):
                raise BirthmarkError("tpm.not-this-one", str(self._options.state_dir))
            tpm.expect_endorsement_key(known.about.ek)
        return tpm

    def _authority(self, known: Identity | None) -> TrustedAuthority | None:
        remembered = self._options.state_dir / _AUTHORITY
        if self._pinned:
            return self._pinned
        if os.path.lexists(remembered):
            return load_authority(remembered)
        return TrustedAuthority.of(known.chain) if known else None

    def _remembered(self, known: Identity | None, authority: TrustedAuthority | None) -> Remembered:
        earliest = BUILD_DATE
        if known is not None and authority is not None and known.chain[-1] == authority.root:
            earliest = max(earliest, known.chain[0].not_valid_before_utc)
        kept = self.store.station_list()
        try:
            return Remembered(earliest, StationList.read(kept) if kept is not None else None)
        except ValueError as error:
            raise BirthmarkError("trust.station-list-unreadable", str(self._options.state_dir)) from error

    def _find_nuc_map(self) -> NucMap | None:
        """As `_read_nuc_map`; a unit that may wait for its map has none meanwhile, and says why."""
        found, lack = None, None
        try:
            found = self._read_nuc_map()
        except BirthmarkError as error:
            if self._watch is None or not error.code.startswith("nuc.map-"):
                raise
            lack = error
        if str(lack) != str(self._lack):
            self._tell_lack(lack)
        self._lack = lack
        return found

    def _read_nuc_map(self) -> NucMap | None:
        """Return the given map, unless this unit has it sealed; remove a clear one that is left from an earlier run."""
        known = self.store.load()
        sealed = known.sealed_map if known else self.store.kept_map()
        path = self._options.nuc_map
        if path is None or (sealed is not None and not os.path.exists(path)):
            if sealed is None:
                raise BirthmarkError("nuc.map-missing", str(path) if path else "")
            if known is None:
                self._tpm.get().unseal(sealed.hash)  # report a kept map of another TPM before a station waits
            return None
        given = read_whole_map(path)
        if not self._options.keep_nuc_map:
            self._clear_map = path
        if sealed is None or not self._is_sealed(given, sealed, known):
            return given
        if known is not None and known.provisioned:
            self.provisioned()
        return None

    def _is_sealed(self, given: NucMap, sealed: SealedMap, known: Identity | None) -> bool:
        try:
            return NucHash(self._tpm_of(known).unseal(sealed.hash)) == given.hash
        except BirthmarkError as error:
            if known is None and error.code == "tpm.not-this-one":
                return False  # this TPM cannot use the kept map: take the given one
            raise


def _pinned(options: Options) -> TrustedAuthority | None:
    if options.root_certificate is None:
        return None
    intermediate = options.intermediate_certificate
    return TrustedAuthority(
        load_root(options.root_certificate), load_intermediate(intermediate) if intermediate else None
    )


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What `forget` removed."""

    identity: Identity | None
    """None if there was none, or a damaged one."""
    anything: bool
    map_kept: bool


def forget(state_dir: Path, *, forget_root: bool, forget_map: bool) -> Forgotten:
    """Remove the identity. Remembers its authority, and keeps its sealed NUC map unless told otherwise.

    Raises `nuc.map-not-kept`, and removes nothing, when it cannot keep the map.
    """
    disk = Disk()
    store = IdentityStore(state_dir, disk)
    known: Identity | None = None
    with suppress(BirthmarkError):  # a damaged identity must be removable, too
        known = store.load()
    remembered = state_dir / _AUTHORITY
    root_known = os.path.lexists(remembered)
    if not forget_root and known is not None and not root_known:
        disk.write(remembered, TrustedAuthority.of(known.chain).pem())
    found = store.forget(keep_map=not forget_map)
    if forget_root:
        disk.remove(remembered)
        store.forget_station_list()
    return Forgotten(known, found or (forget_root and root_known), os.path.lexists(state_dir / KEPT))
