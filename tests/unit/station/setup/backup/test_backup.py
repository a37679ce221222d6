"""Backups that are malformed, changed or forged are refused, and a backup of a busy registry is consistent."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from shared.errors import BirthmarkError
from station.config import StationConfig
from station.registry import audit_check, sqlite
from station.registry.schema import crl
from station.setup.backup.backup import backup, restore
from station.setup.init import init_data_dir
from station.setup.open import open_station
from tests.harness.backup_files import IDENTITIES, IDENTITY_TEXT, LABEL, RECIPIENTS, encrypted, entry, tar


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


def test_a_backup_restores_every_file_privately(data_dir: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup"
    made = backup(data_dir, file, RECIPIENTS, silent)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    restored = restore(file, tmp_path / "new", IDENTITIES, silent, force=False)
    assert (restored.made_at, restored.units, restored.audit_problems) == (made.made_at, 0, ())
    left_out = {"root-key.pem", "registry.sqlite"}
    before = {path.relative_to(data_dir) for path in data_dir.rglob("*") if path.is_file()}
    after = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert {path for path in before if path.name != "root-key.pem"} == after
    for name in after:
        assert stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) == 0o600
        assert name.name in left_out or (data_dir / name).read_bytes() == (tmp_path / "new" / name).read_bytes()
    assert not list(data_dir.glob(".backup*"))


def test_a_restored_station_has_its_ek_roots_in_the_data_directory(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "ek-roots").rename(tmp_path / "elsewhere")
    settings = data_dir / "station.toml"
    settings.write_text(settings.read_text().replace('"ek-roots"', f'"{tmp_path}/elsewhere"'))
    backup(data_dir, tmp_path / "backup", RECIPIENTS, silent)
    restore(tmp_path / "backup", tmp_path / "new", IDENTITIES, silent, force=False)
    assert (tmp_path / "new" / "ek-roots" / "Some Vendor.pem").exists()
    assert str(tmp_path) not in (tmp_path / "new" / "station.toml").read_text()


@pytest.mark.parametrize(
    "content",
    [
        tar([entry("../outside", b"x")]),
        tar([entry("authority/../../outside.pem", b"x")]),
        tar([entry("/tmp/outside", b"x")]),
        tar([entry("./station.toml", b"x")]),
        tar([entry("ek-roots/../outside", b"x")]),
        tar([entry("ek-roots/.hidden", b"x")]),
        tar([entry("ek-roots/x", type=tarfile.SYMTYPE, linkname="/tmp"), entry("ek-roots/x", b"x")]),
        tar([entry("station.toml", type=tarfile.LNKTYPE, linkname="/etc/passwd")]),
        tar([entry("ek-roots", type=tarfile.DIRTYPE)]),
        tar([entry("registry.sqlite", type=tarfile.FIFOTYPE)]),
        tar([entry("station.toml\n", b"x")]),
        tar([entry("", b"x")]),
        tar([entry("backup.json", LABEL)]),
        tar([entry("station.toml", b"x"), entry("station.toml", b"y")]),
        tar([entry("station.toml", size=1 << 40)]),
        tar([entry("station.toml", bytes((1 << 20) + 1))]),
        tar([entry("registry.sqlite", size=1 << 40)]),
        tar(entry(f"ek-roots/{number}") for number in range(2000)),
        tar([b"\xff" * 512]),
        tar([entry("station.toml", b"x")]),  # nothing else in it
        tar([entry("station.toml", b"x")]) + b"more",
        tar([entry("station.toml", b"x")])[:-1024],
        entry("station.toml", b"x") + tar(),
        tar(label=LABEL[:-1]),
        tar(label=b"[" * 4000),
        tar(label=b" " * 5000 + LABEL),
        tar(label=b"\xff"),
        tar(label=LABEL.replace(b'"version":1', b'"version":0')),
        tar(label=LABEL.replace(b"birthmark-station", b"another-station")),
        tar(label=LABEL.replace(b"birthmark-station", b"another-station").replace(b'"version":1', b'"version":2')),
        bytes(10240),
        b"",
    ],
)
def test_a_forged_backup_writes_nothing_outside_the_data_directory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "backup").write_bytes(encrypted(content))
    with pytest.raises(BirthmarkError) as raised:
        restore(tmp_path / "backup", tmp_path / "new", IDENTITIES, silent, force=False)
    assert raised.value.code == "backup.malformed"
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize(
    "label",
    [
        LABEL.replace(b'"version":1', b'"version":2'),
        b'{"format": "birthmark-station-backup", "version": 3, "made_at": "in words"}',
    ],
)
def test_a_backup_of_a_later_version_is_refused_as_such(tmp_path: Path, label: bytes) -> None:
    (tmp_path / "backup").write_bytes(encrypted(tar(label=label)))
    with pytest.raises(BirthmarkError, match=r"backup\.too-new"):
        restore(tmp_path / "backup", tmp_path / "new", IDENTITIES, silent, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["backup"]


def test_a_damaged_backup_restores_nothing(data_dir: Path, tmp_path: Path) -> None:
    backup(data_dir, tmp_path / "backup", RECIPIENTS, silent)
    whole = (tmp_path / "backup").read_bytes()
    (tmp_path / "backup").write_bytes(whole[:-1])
    with pytest.raises(BirthmarkError, match=r"backup\.damaged"):
        restore(tmp_path / "backup", tmp_path / "new", IDENTITIES, silent, force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data", "vendors"]


def test_age_and_tar_alone_restore_a_station(data_dir: Path, tmp_path: Path) -> None:
    made = backup(data_dir, tmp_path / "backup", RECIPIENTS, silent)
    (tmp_path / "identity").write_text(f"{IDENTITY_TEXT}\n")
    new = tmp_path / "new"
    new.mkdir(mode=0o700)
    command = f"cd {tmp_path} && age -d -i identity backup | tar -x -C new"
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    label = msgspec.json.decode((new / "backup.json").read_bytes())
    assert (label["format"], label["made_at"]) == ("birthmark-station-backup", made.made_at)
    for path in data_dir.rglob("*"):
        if path.is_file() and path.name not in ("root-key.pem", "registry.sqlite"):
            assert (new / path.relative_to(data_dir)).read_bytes() == path.read_bytes()

    async def root() -> bytes:
        async with open_station(new) as station, station.database.read() as connection:
            assert not (await audit_check.verify(connection)).problems
            return (new / "authority" / "root.pem").read_bytes()

    assert asyncio.run(root()) == (data_dir / "authority" / "root.pem").read_bytes()


def test_a_backup_that_no_station_could_open_is_not_restored(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "authority" / "station.pem").write_bytes(b"damaged before the backup")
    backup(data_dir, tmp_path / "backup", RECIPIENTS, silent)
    with pytest.raises(BirthmarkError, match=r"authority\.unreadable"):
        restore(tmp_path / "backup", tmp_path / "new", IDENTITIES, silent, force=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data", "vendors"]


def test_a_backup_overwrites_no_file(data_dir: Path, tmp_path: Path) -> None:
    file, full = tmp_path / "backup", tmp_path / "full"
    full.mkdir()
    (full / "something").write_text("mine")
    backup(data_dir, file, RECIPIENTS, silent)
    before = file.read_bytes()
    attempts: list[tuple[str, Callable[[], object]]] = [
        ("backup.exists", lambda: backup(data_dir, file, RECIPIENTS, silent)),
        ("data.not-a-station", lambda: restore(file, full, IDENTITIES, silent, force=False)),
        ("data.not-a-station", lambda: restore(file, full, IDENTITIES, silent, force=True)),
        ("data.exists", lambda: restore(file, data_dir, IDENTITIES, silent, force=False)),
        ("backup.file-unusable", lambda: backup(data_dir, tmp_path / "no" / "where", RECIPIENTS, silent)),
        ("backup.file-unusable", lambda: restore(tmp_path / "none", tmp_path / "new", IDENTITIES, silent, force=False)),
    ]
    for code, attempt in attempts:
        with pytest.raises(BirthmarkError) as raised:
            attempt()
        assert raised.value.code == code
    assert file.read_bytes() == before
    assert [path.name for path in full.iterdir()] == ["something"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "data", "full", "vendors"]


def test_a_backup_that_fails_leaves_no_file(data_dir: Path, tmp_path: Path) -> None:
    def pulled(what: str, _done: int, _of: int) -> None:
        if what == "Encrypting":
            raise OSError(28, "No space left on device")

    with pytest.raises(BirthmarkError, match=r"No space left.*backup\.file-unusable"):
        backup(data_dir, tmp_path / "backup", RECIPIENTS, pulled)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "vendors"]
    assert not list(data_dir.glob(".backup*"))


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

    backup(data_dir, tmp_path / "backup", RECIPIENTS, write_meanwhile)
    (now,) = station.execute("SELECT count(*) FROM key_tables WHERE id >= 1000").fetchone()
    station.close()
    assert now == steps > 10
    restore(tmp_path / "backup", tmp_path / "new", IDENTITIES, silent, force=False)
    restored = sqlite3.connect(tmp_path / "new" / "registry.sqlite")
    assert restored.execute("SELECT count(*) FROM key_tables").fetchone() == (10,)
    assert restored.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    restored.close()


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

    backup(data_dir, tmp_path / "backup", RECIPIENTS, silent)
    used = asyncio.run(number(data_dir, 5))
    restore(tmp_path / "backup", tmp_path / "new", IDENTITIES, silent, force=False)
    assert asyncio.run(number(tmp_path / "new", 1)) > used
