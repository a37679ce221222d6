"""Makes the virtual Pi that all tests of a module use, from first boot to the end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from device_agent.tpm.simulator import Simulator
from tests.system.board import PC, Board
from tests.system.guest import Guest, Tpm
from tests.system.image import AMD64, Debian, build, install

Fill = Callable[[Path, Path], None]


@pytest.fixture(scope="module")
def fill() -> Fill:
    """Return what fills the disk besides Debian; a module may have its own."""
    return install


@pytest.fixture(scope="package")
def machine() -> tuple[Board, Debian]:
    """Return what the virtual Pi is, and what it runs."""
    return PC, AMD64


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a TPM in `simulator`, and its vendor's certificates in `roots`."""
    work = tmp_path_factory.mktemp("pi")
    with Simulator(work):
        pass  # it makes a TPM, with EK certificates of a new CA
    roots = work / "roots"
    roots.mkdir()
    for certificate in (work / "simulator").rglob("*cert.pem"):
        shutil.copy(certificate, roots)
    return work


@pytest.fixture(scope="module")
def pi(work: Path, machine: tuple[Board, Debian], fill: Fill) -> Iterator[Guest]:
    """Make the virtual Pi, which is not yet switched on."""
    board, debian = machine
    sockets = Path(tempfile.mkdtemp(prefix="pi-"))  # short: a socket's path has room for 107 characters
    guest = Guest(
        board,
        build(work, debian, lambda root: fill(root, work / "roots")),
        Tpm(work / "simulator", sockets, board),
        sockets,
        work / "console.log",
    )
    try:
        yield guest
    finally:
        guest.close()
        shutil.rmtree(sockets)
        if kept := os.environ.get("KEEP_CONSOLE"):
            shutil.copy(guest.console, kept)
        (work / "disk.img").unlink()


@pytest.fixture(autouse=True)
def nothing_failed(pi: Guest) -> Iterator[None]:
    yield
    if pi.running:
        assert pi.good("systemctl --failed --no-legend --plain") == "", pi.explain()
