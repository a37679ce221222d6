"""The directory of vendors' certificates while the station runs: new files count, and damaged ones stop nothing."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from station.attestation.ek import vendor_directory
from station.attestation.ek.roots import EkRoots
from station.attestation.ek.vendor_directory import VendorsDirectory, problem_in
from tests.harness.vendor_lab import Vendor, write_roots

FIRST, SECOND, THIRD = Vendor("First"), Vendor("Second"), Vendor("Third")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return write_roots(tmp_path / "vendors", FIRST)


def names(roots: EkRoots) -> list[str]:
    return [issuer.subject.removeprefix("CN=") for issuer in roots.issuers]


def test_an_added_certificate_counts_at_once_and_a_removed_one_no_more(directory: Path) -> None:
    vendors = VendorsDirectory(directory)
    (directory / "second.pem").write_bytes(SECOND.pem())
    assert names(vendors.current()) == ["First", "Second"]
    (directory / "0.pem").unlink()
    assert names(vendors.current()) == ["Second"]
    assert vendors.current().problems == []


def test_a_file_that_is_written_over_or_replaced_is_read_again(directory: Path, tmp_path: Path) -> None:
    vendors = VendorsDirectory(directory)
    (directory / "0.pem").write_bytes(SECOND.pem())
    assert names(vendors.current()) == ["Second"]
    (tmp_path / "new").write_bytes(THIRD.pem())
    (tmp_path / "new").rename(directory / "0.pem")
    assert names(vendors.current()) == ["Third"]


def test_nothing_is_read_while_nothing_changes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vendors = VendorsDirectory(directory)
    before = vendors.current()
    monkeypatch.setattr(vendor_directory, "load_ek_roots", lambda *_: pytest.fail("it was read again"))
    assert vendors.current() is before


def spoilt(path: Path) -> None:
    path.write_bytes(FIRST.pem()[:200])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def swollen(path: Path) -> None:
    path.write_bytes(FIRST.pem() + bytes(5 << 20))


def damaged_in_a_bundle(path: Path) -> None:
    path.write_bytes(SECOND.pem() + FIRST.pem().replace(b"MII", b"MI!"))


def half_copied(path: Path) -> None:
    path.write_bytes((SECOND.pem() + FIRST.pem())[:-40])


@pytest.mark.parametrize("spoil", [spoilt, emptied, swollen, damaged_in_a_bundle, half_copied])
def test_a_file_that_goes_bad_is_said_and_stays_in_use_as_it_was(
    directory: Path, spoil: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    (directory / "other.pem").write_bytes(THIRD.pem())
    vendors = VendorsDirectory(directory)
    spoil(directory / "0.pem")
    roots = vendors.current()
    assert {"First", "Third"} <= set(names(roots))
    (problem,) = roots.problems
    assert problem.startswith("0.pem: ")
    assert problem.endswith("; 1 read from it before are still in use")
    assert problem in caplog.text
    (directory / "0.pem").write_bytes(SECOND.pem())
    assert names(vendors.current()) == ["Second", "Third"]
    assert vendors.current().problems == []


def test_one_bad_file_more_costs_no_other(directory: Path) -> None:
    vendors = VendorsDirectory(directory)
    (directory / "notes.pem").write_text("to do")
    (directory / "nowhere.pem").symlink_to(directory / "gone")
    assert names(vendors.current()) == ["First"]
    assert [problem.split(":")[0] for problem in vendors.current().problems] == ["notes.pem"]


def test_a_directory_that_goes_away_stays_in_use_until_it_is_back(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vendors = VendorsDirectory(directory)
    directory.rename(directory.with_name("aside"))
    for _ in range(3):
        assert names(vendors.current()) == ["First"]
    said = f"{directory}: No such file or directory; the 1 vendors' certificates read before are still in use"
    assert vendors.current().problems == [said]
    assert caplog.text.count(said) == 1
    write_roots(directory, SECOND)
    assert names(vendors.current()) == ["Second"]
    assert vendors.current().problems == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_directory_that_becomes_unreadable_stays_in_use(directory: Path) -> None:
    vendors = VendorsDirectory(directory)
    directory.chmod(0)
    try:
        assert names(vendors.current()) == ["First"]
        assert "Permission denied" in vendors.current().problems[0]
    finally:
        directory.chmod(0o700)


def test_a_directory_that_was_never_there_knows_nobody_and_says_so(tmp_path: Path) -> None:
    roots = VendorsDirectory(tmp_path / "none").current()
    assert (roots.count, roots.problems) == (0, [f"{tmp_path}/none: No such file or directory"])


def test_a_problem_is_a_sentence_with_the_number_of_further_ones(directory: Path) -> None:
    assert problem_in(EkRoots(directory)) == ""
    told = problem_in(EkRoots(directory, problems=["a: bad", "b: bad", "c: bad"]))
    assert told == "TPM vendors' certificates: a: bad (and 2 more)"


async def test_a_follower_gets_each_problem_and_its_end(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(vendor_directory, "LOOK_SECONDS", 0.01)
    vendors = VendorsDirectory(directory)
    told: asyncio.Queue[str] = asyncio.Queue()
    following = asyncio.create_task(vendors.follow(told.put_nowait))

    async def hears(part: str) -> None:
        async with asyncio.timeout(30):
            said = "…"
            while said[: len(part) or None] != part:
                said = await told.get()

    await hears("")
    (directory / "bad.pem").write_text("bad")
    await hears("TPM vendors' certificates: bad.pem: ")
    with monkeypatch.context() as patched:  # a bug of ours is logged, and the next reading follows
        patched.setattr(vendors, "current", lambda: 1 / 0)
        with caplog.at_level(logging.ERROR):
            while "a bug" not in caplog.text:  # noqa: ASYNC110 - the log rings no bell
                await asyncio.sleep(0.01)
    (directory / "bad.pem").unlink()
    await hears("")
    following.cancel()
