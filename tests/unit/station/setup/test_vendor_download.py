"""Vendors' certificates are fetched from their servers, and only what the table's fingerprints vouch for is kept."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from station.attestation.ek.roots import load_ek_roots
from station.attestation.ek.vendor_table import PinnedCertificate
from station.setup import vendor_download
from station.setup.vendor_download import ANSWER_BYTES_MAX, Outcome, Result, fetch_vendors
from station.setup.vendor_store import distrust
from tests.harness.vendor_lab import Vendor
from tests.harness.vendor_servers import VendorServer, vendor_server

CHECKOUT = Path(__file__).parents[4]
ROOT = Vendor("One Root CA")
ISSUING = Vendor("One CA 007", ROOT)
OTHER_ROOT = Vendor("Other Root CA")


@pytest.fixture
def server() -> Iterator[VendorServer]:
    with vendor_server() as running:
        yield running


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "ek-roots"
    made.mkdir(mode=0o700)
    return made


def fetched(directory: Path, *table: PinnedCertificate) -> list[Outcome]:
    told: list[Outcome] = []
    outcomes = asyncio.run(fetch_vendors(directory, table, told.append))
    assert told == outcomes
    assert len(outcomes) == len(table)
    by_name = {outcome.pinned.name: outcome for outcome in outcomes}
    return [by_name[pinned.name] for pinned in table]


def results(outcomes: list[Outcome]) -> list[str]:
    return [outcome.error.code if outcome.error else outcome.result.value for outcome in outcomes]


def known(directory: Path) -> set[str]:
    roots = load_ek_roots(directory)
    assert roots.problems == []
    return {issuer.common_name for issuer in roots.issuers}


def test_what_a_vendor_publishes_is_fetched_and_counts(server: VendorServer, directory: Path) -> None:
    table = [
        server.publishes(ROOT, whose="One", root=True),
        server.publishes(ISSUING, whose="One", other=ISSUING.pem()),
    ]
    assert results(fetched(directory, *table)) == ["fetched", "fetched"]
    assert known(directory) == {"One Root CA", "One CA 007"}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in directory.iterdir())


def test_tls_is_spoken_where_the_address_says_so_and_only_the_pin_counts(tmp_path: Path, directory: Path) -> None:
    with vendor_server(tls=tmp_path) as server:
        assert server.origin.startswith("https://")
        table = [server.publishes(ROOT, whose="One", root=True), server.publishes(OTHER_ROOT, whose="Two", root=True)]
        server.pages["/Other_Root_CA.crt"] = Vendor("Other Root CA").der
        assert results(fetched(directory, *table)) == ["fetched", "vendors.pin-differs"]
    assert known(directory) == {"One Root CA"}


def test_a_second_run_goes_on_where_the_first_one_ended(server: VendorServer, directory: Path) -> None:
    root, issuing = server.publishes(ROOT, whose="One", root=True), server.publishes(ISSUING, whose="One")
    page = server.pages.pop("/One_CA_007.crt")
    assert results(fetched(directory, root, issuing)) == ["fetched", "vendors.answer-unfit"]
    server.pages["/One_CA_007.crt"] = page
    server.asked.clear()
    assert results(fetched(directory, root, issuing)) == ["there", "fetched"]
    assert server.asked == ["/One_CA_007.crt"]
    server.asked.clear()
    assert results(fetched(directory, root, issuing)) == ["there", "there"]
    assert server.asked == []


def test_what_is_fetched_is_kept_when_the_rest_is_interrupted(server: VendorServer, directory: Path) -> None:
    async def hangs(_: web.Request) -> web.Response:
        await asyncio.sleep(3600)
        raise AssertionError

    table = [server.publishes(ROOT, whose="One", root=True), server.publishes(ISSUING, whose="One", other=hangs)]

    async def interrupted() -> None:
        async with asyncio.timeout(2):
            await fetch_vendors(directory, table, lambda _: None)

    with pytest.raises(TimeoutError):
        asyncio.run(interrupted())
    assert known(directory) == {"One Root CA"}


# --- what does not count ---


@pytest.mark.attack("somebody between the station and the vendors' servers answers in their place")
def test_another_certificate_under_a_vendors_address_is_not_kept(
    server: VendorServer, directory: Path, got: object
) -> None:
    forged = Vendor("One Root CA")
    below = Vendor("One CA 007", forged)
    table = [
        server.publishes(ROOT, whose="One", root=True, other=forged.der),
        server.publishes(ISSUING, whose="One", other=below.der),
    ]
    assert results(fetched(directory, *table)) == ["vendors.pin-differs", "vendors.pin-differs"]
    assert list(directory.iterdir()) == []
    got("nothing: refused [vendors.pin-differs]")  # type: ignore[operator]


def test_a_renewed_intermediate_counts_when_a_pinned_root_of_its_vendor_signed_it(
    server: VendorServer, directory: Path
) -> None:
    renewed = Vendor("One CA 007", ROOT)
    root = server.publishes(ROOT, whose="One", root=True)
    assert results(fetched(directory, root, server.publishes(ISSUING, whose="One", other=renewed.der))) == [
        "fetched",
        "fetched",
    ]
    assert known(directory) == {"One Root CA", "One CA 007"}
    again = fetched(directory, root, server.publishes(ISSUING, whose="One", other=renewed.der))
    assert results(again) == ["there", "there"]


def test_a_root_another_vendors_signed_counts_for_no_other_vendor(server: VendorServer, directory: Path) -> None:
    table = [
        server.publishes(OTHER_ROOT, whose="Other", root=True),
        server.publishes(ISSUING, whose="One", other=Vendor("One CA 007", OTHER_ROOT).der),
    ]
    assert results(fetched(directory, *table)) == ["fetched", "vendors.pin-differs"]


def test_what_a_root_that_is_not_pinned_signed_does_not_count(server: VendorServer, directory: Path) -> None:
    """A root that the operator added by hand vouches for TPMs, but not for what a server says."""
    mine = Vendor("My Own Root")
    (directory / "mine.pem").write_bytes(mine.pem())
    table = [
        server.publishes(ROOT, whose="One", root=True),
        server.publishes(ISSUING, whose="One", other=Vendor("One CA 007", mine).der),
    ]
    assert results(fetched(directory, *table)) == ["fetched", "vendors.pin-differs"]


def test_a_distrusted_one_is_not_fetched_again(server: VendorServer, directory: Path) -> None:
    table = [server.publishes(ROOT, whose="One", root=True), server.publishes(ISSUING, whose="One")]
    fetched(directory, *table)
    [issuing] = [c for c in load_ek_roots(directory).issuers if c.common_name == "One CA 007"]
    distrust(directory, issuing)
    assert results(fetched(directory, *table)) == ["there", "distrusted"]
    for path in directory.glob("one-ca-007-*.pem"):
        path.unlink()
    renewed = server.publishes(ISSUING, whose="One", other=Vendor("One CA 007", ROOT, key=ISSUING.key).der)
    assert results(fetched(directory, table[0], renewed)) == ["there", "distrusted"]
    assert known(directory) == {"One Root CA"}


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>Not here</html>", b"\0" * (ANSWER_BYTES_MAX + 1), ROOT.pem() * 2, ROOT.pem()[:200]],
    ids=["nothing", "a page", "too large", "two", "cut off"],
)
def test_an_answer_that_is_not_one_certificate_is_refused(
    server: VendorServer, directory: Path, content: bytes
) -> None:
    [outcome] = fetched(directory, server.publishes(ROOT, whose="One", root=True, other=content))
    assert outcome.error is not None
    assert outcome.error.code == "vendors.answer-unfit"
    assert list(directory.iterdir()) == []


def test_an_endless_answer_is_cut_off(server: VendorServer, directory: Path) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"\0" * 4096)

    [outcome] = fetched(directory, server.publishes(ROOT, whose="One", root=True, other=endless))
    assert outcome.error is not None
    assert "larger than" in outcome.error.detail


# --- redirects ---


def to(location: str) -> object:
    async def redirects(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    return redirects


def test_a_redirect_on_the_same_host_is_followed(server: VendorServer, directory: Path) -> None:
    server.pages["/elsewhere"] = ROOT.der
    pinned = server.publishes(ROOT, whose="One", root=True, other=to("/elsewhere"))  # type: ignore[arg-type]
    assert results(fetched(directory, pinned)) == ["fetched"]


@pytest.mark.parametrize(
    "location", ["http://localhost:{port}/elsewhere", "//evil.example/x", "file:///etc/passwd", ""]
)
def test_a_redirect_to_another_host_is_not_followed(server: VendorServer, directory: Path, location: str) -> None:
    server.pages["/elsewhere"] = ROOT.der
    where = location.format(port=server.origin.rpartition(":")[2])
    pinned = server.publishes(ROOT, whose="One", root=True, other=to(where))  # type: ignore[arg-type]
    assert results(fetched(directory, pinned)) == ["vendors.answer-unfit"]
    assert "/elsewhere" not in server.asked


# --- servers that do not answer ---


def nobody() -> str:
    """An address where nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_one_vendors_failure_stops_no_other(server: VendorServer, directory: Path) -> None:
    absent = VendorServer(nobody().replace("127.0.0.1", "localhost"))
    table = [
        absent.publishes(OTHER_ROOT, whose="Other", root=True),
        server.publishes(ROOT, whose="One", root=True),
        server.publishes(ISSUING, whose="One"),
    ]
    assert results(fetched(directory, *table)) == ["vendors.unreachable", "fetched", "fetched"]


def test_a_server_that_stays_silent_is_not_asked_for_everything(directory: Path) -> None:
    absent = VendorServer(nobody())
    table = [absent.publishes(Vendor(f"CA {number}"), whose="Other") for number in range(8)]
    outcomes = fetched(directory, *table)
    assert {outcome.result for outcome in outcomes} == {Result.FAILED}
    said = [outcome.error.detail for outcome in outcomes if outcome.error]
    assert [detail.endswith("was not asked again") for detail in said] == [False] * 3 + [True] * 5


def test_a_server_that_never_ends_its_answer_is_given_up(
    server: VendorServer, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drips(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        while True:
            await answer.write(b"0")
            await asyncio.sleep(0.05)

    monkeypatch.setattr(vendor_download, "ANSWER_SECONDS", 1.0)
    pinned = server.publishes(ROOT, whose="One", root=True, other=drips)
    assert results(fetched(directory, pinned)) == ["vendors.unreachable"]


@pytest.mark.parametrize(
    "proxy", ["user:hunter2@proxy.example:3128", "socks5://user:hunter2@proxy.example", "http://user:hunter2@[::1"]
)
def test_a_proxy_that_cannot_be_one_is_named_by_its_variable_without_its_password(
    server: VendorServer, directory: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    [outcome] = fetched(directory, server.publishes(ROOT, whose="One", root=True))
    assert outcome.error is not None
    assert outcome.error.code == "vendors.unreachable"
    assert outcome.error.detail == "127.0.0.1: https_proxy does not name a proxy as http://HOST:PORT"


# --- who may fetch ---


def test_no_part_of_the_running_station_can_fetch() -> None:
    """The service denies itself every address but loopback, and loads no code that fetches."""
    unit = (CHECKOUT / "systemd/birthmark-station.service").read_text().splitlines()
    assert {"IPAddressDeny=any", "IPAddressAllow=localhost"} <= set(unit)
    loaded = "import sys, station.cli.serve; print('station.setup.vendor_download' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    assert told.stdout == "False\n"
    users = [
        path.relative_to(CHECKOUT)
        for path in (CHECKOUT / "station").rglob("*.py")
        if "vendor_download import" in path.read_text()
    ]
    assert users == [Path("station/cli/tpm_vendors.py")]
