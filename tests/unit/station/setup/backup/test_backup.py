"""Backups that are malformed, changed or forged are refused, and a backup of a busy registry is consistent."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from shared.errors import BirthmarkError
from station.config import StationConfig
from station.registry import sqlite
from station.registry.schema import crl
from station.setup.backup.backup import backup, restore
from station.setup.init import init_data_dir
from station.setup.open import open_station
from tests.harness.sealed import PASSPHRASE, sealed


def silent(_what: str, _done: int, _of: int) -> None:
    return None


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    roots = tmp_path / "vendors"
    roots.mkdir()
    (roots / "Some Vendor.pem").write_text("no certificate, but the operator's")
    path = tmp_path / "data"
    init_data_dir(path, StationConfig(), force=False, root_passphrase="for the test", ek_roots=roots)
    return path


@pytest.mark.usefixtures("quick")
def test_a_backup_restores_every_file_privately(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    made = backup(data_dir, file, PASSPHRASE, silent)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    restored = restore(file, tmp_path / "new", PASSPHRASE, silent, force=False)
    assert (restored.made_at, restored.units, restored.audit_problems) == (made.made_at, 0, ())
    left_out = {"root-key.pem", "registry.sqlite"}
    before = {path.relative_to(data_dir) for path in data_dir.rglob("*") if path.is_file()}
    after = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert {path for path in before if path.name != "root-key.pem"} == after
    for name in after:
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600
        assert name.name in left_out or (data_dir / name).read_bytes() == (tmp_path / "new" / name).read_bytes()
    assert not list(data_dir.glob(".backup*"))


@pytest.mark.usefixtures("quick")
def test_a_restored_station_has_its_ek_roots_in_the_data_directory(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "ek-roots").rename(tmp_path / "elsewhere")
    settings = data_dir / "station.toml"
    settings.write_text(settings.read_text().replace('"ek-roots"', f'"{tmp_path}/elsewhere"'))
    backup(data_dir, tmp_path / "backup", PASSPHRASE, silent)
    restore(tmp_path / "backup", tmp_path / "new", PASSPHRASE, silent, force=False)
    assert (tmp_path / "new" / "ek-roots" / "Some Vendor.pem").exists()
    assert str(tmp_path) not in (tmp_path / "new" / "station.toml").read_text()


def entry(name: str, content: bytes = b"", size: int | None = None) -> bytes:
    packed = msgspec.msgpack.encode({"name": name, "size": len(content) if size is None else size})
    return len(packed).to_bytes(2, "big") + packed + content


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "content",
    [
        entry("../outside", b"x"),
        entry("authority/../../outside.pem", b"x"),
        entry("/tmp/outside", b"x"),
        entry("ek-roots/../outside", b"x"),
        entry("ek-roots/.hidden", b"x"),
        entry("station.toml\n", b"x"),
        entry("", b"x"),
        entry("station.toml", b"x") + entry("station.toml", b"y"),
        entry("station.toml", size=1 << 40),
        entry("station.toml", size=-1),
        entry("registry.sqlite", size=1 << 40),
        b"".join(entry(f"ek-roots/{number}") for number in range(2000)),
        b"\xff\xff" + bytes(0xFFFF),
        b"\0\1\xc1",
        entry("station.toml", b"x") + bytes(2),  # nothing else in it
        entry("station.toml", b"x") + bytes(2) + b"more",
        entry("station.toml", b"x"),
    ],
)
def test_a_forged_backup_writes_nothing_outside_the_data_directory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "backup").write_bytes(sealed(content))
    with pytest.raises(BirthmarkError) as raised:
        restore(tmp_path / "backup", tmp_path / "new", PASSPHRASE, silent, force=False)
    assert raised.value.code == "backup.malformed"
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


@pytest.mark.usefixtures("quick")
def test_a_backup_that_no_station_could_open_is_not_restored(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "authority" / "station.key").write_bytes(b"damaged before the backup")
    backup(data_dir, tmp_path / "backup", PASSPHRASE, silent)
    with pytest.raises(BirthmarkError, match=r"authority\.unreadable"):
        restore(tmp_path / "backup", tmp_path / "new", PASSPHRASE, silent, force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data", "vendors"]


@pytest.mark.usefixtures("quick")
def test_a_backup_overwrites_no_file(data_dir: Path, tmp_path: Path) -> None:
    file, full = tmp_path / "backup", tmp_path / "full"
    full.mkdir()
    (full / "something").write_text("mine")
    backup(data_dir, file, PASSPHRASE, silent)
    before = file.read_bytes()
    attempts: list[tuple[str, Callable[[], object]]] = [
        ("backup.exists", lambda: backup(data_dir, file, PASSPHRASE, silent)),
        ("data.not-a-station", lambda: restore(file, full, PASSPHRASE, silent, force=False)),
        ("data.not-a-station", lambda: restore(file, full, PASSPHRASE, silent, force=True)),
        ("data.exists", lambda: restore(file, data_dir, PASSPHRASE, silent, force=False)),
        ("backup.file-unusable", lambda: backup(data_dir, tmp_path / "no" / "where", PASSPHRASE, silent)),
        ("backup.file-unusable", lambda: restore(tmp_path / "none", tmp_path / "new", PASSPHRASE, silent, force=False)),
    ]
    for code, attempt in attempts:
        with pytest.raises(BirthmarkError) as raised:
            attempt()
        assert raised.value.code == code
    assert file.read_bytes() == before
    assert [path.name for path in full.iterdir()] == ["something"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data", "full", "vendors"]


@pytest.mark.usefixtures("quick")
def test_a_backup_that_fails_leaves_no_file(data_dir: Path, tmp_path: Path) -> None:
    def pulled(what: str, _done: int, _of: int) -> None:
        if what == "Sealing":
            raise OSError(28, "No space left on device")

    with pytest.raises(BirthmarkError, match=r"No space left.*backup\.file-unusable"):
        backup(data_dir, tmp_path / "backup", PASSPHRASE, pulled)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "vendors"]
    assert not list(data_dir.glob(".backup*"))


@pytest.mark.usefixtures("quick")
def test_a_backup_shows_one_moment_however_much_is_written_meanwhile(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_PAGES", 1)
    station = sqlite3.connect(data_dir / "registry.sqlite", isolation_level=None)
    steps = 0

    def write_meanwhile(what: str, _done: int, _of: int) -> None:
        nonlocal steps
        if what == "Copying":
            steps += 1
            station.execute("INSERT INTO key_tables VALUES (?, ?)", (1000 + steps, bytes(60)))

    backup(data_dir, tmp_path / "backup", PASSPHRASE, write_meanwhile)
    (now,) = station.execute("SELECT count(*) FROM key_tables WHERE id >= 1000").fetchone()
    station.close()
    assert now == steps > 10
    restore(tmp_path / "backup", tmp_path / "new", PASSPHRASE, silent, force=False)
    restored = sqlite3.connect(tmp_path / "new" / "registry.sqlite")
    assert restored.execute("SELECT count(*) FROM key_tables").fetchone() == (10,)
    assert restored.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    restored.close()


@pytest.mark.usefixtures("quick")
def test_a_restored_station_signs_no_revocation_list_under_a_number_that_was_used(
    data_dir: Path, tmp_path: Path
) -> None:
    async def number(directory: Path, lists: int) -> int:
        async with open_station(directory) as station:
            for _ in range(lists):
                async with station.database.write() as connection:
                    await connection.execute(crl.update().values(der=None))
                signed = x509.load_der_x509_crl(await station.revocation_list.current())
            return signed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    backup(data_dir, tmp_path / "backup", PASSPHRASE, silent)
    used = asyncio.run(number(data_dir, 5))
    restore(tmp_path / "backup", tmp_path / "new", PASSPHRASE, silent, force=False)
    assert asyncio.run(number(tmp_path / "new", 1)) > used
