"""The identity on disk is whole or missing, private, and checked before it is used."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from device_agent.storage.disk import Disk
from device_agent.storage.endorsement_key import EndorsementKey
from device_agent.storage.identity import IdentityFile, IdentityStore, Secrets, StoredTable
from device_agent.storage.tpm_blob import Blob
from shared.errors import BirthmarkError
from tests.harness.certificates import AuthorityChain, chain_of_trust

EK = EndorsementKey(template="L-2", name="000b" + 32 * "ab")
BLOB = Blob(public=b"public", private=b"private")
SECRETS = Secrets(
    tables=tuple(StoredTable(table_id=table, key=BLOB) for table in (1, 2, 3)), nuc_hash=BLOB, nuc_map_key=BLOB
)


def about(serial: str = "abc") -> IdentityFile:
    return IdentityFile(
        serial=serial,
        model="m",
        authority_id="a",
        validation_endpoint="http://127.0.0.1/validate",
        station="s",
        table_ids=(1, 2, 3),
        tpm="simulator",
        tpm_manufacturer="IBM",
        tpm_firmware="1",
        ek=EK,
    )


@pytest.fixture(scope="module")
def ours() -> AuthorityChain:
    return chain_of_trust()


@pytest.fixture
def store(tmp_path: Path) -> IdentityStore:
    return IdentityStore(tmp_path, Disk())


def keep(store: IdentityStore, ours: AuthorityChain, serial: str = "abc", *, provisioned: bool = False) -> None:
    chain = (ours.device, ours.intermediate, ours.root)
    store.store(about(serial), SECRETS, chain, b"sealed map", provisioned=provisioned)


def test_without_an_identity_nothing_is_loaded(store: IdentityStore) -> None:
    assert store.load() is None


def test_a_stored_identity_is_loaded(store: IdentityStore, ours: AuthorityChain) -> None:
    keep(store, ours)
    identity = store.load()
    assert identity is not None
    assert (identity.about, identity.secrets, identity.provisioned) == (about(), SECRETS, False)
    assert identity.chain == (ours.device, ours.intermediate, ours.root)
    assert identity.sealed_map.file.read_bytes() == b"sealed map"
    store.mark_provisioned()
    store.mark_provisioned()
    loaded = store.load()
    assert loaded is not None
    assert loaded.provisioned


def test_a_new_identity_replaces_the_old_and_tidy_removes_what_is_left(
    store: IdentityStore, ours: AuthorityChain, tmp_path: Path
) -> None:
    keep(store, ours, "old")
    (tmp_path / ".identity-half").mkdir()
    keep(store, ours, "new")
    assert len(list(tmp_path.glob(".identity-*"))) == 1
    (tmp_path / ".identity-half").mkdir()
    store.tidy()
    loaded = store.load()
    assert loaded is not None
    assert loaded.about.serial == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [loaded.path.name, "identity"]


def test_tidying_by_a_relative_path_keeps_the_identity(
    ours: AuthorityChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "state").mkdir()
    store = IdentityStore(Path("state"), Disk())
    keep(store, ours)
    store.tidy()
    assert store.load() is not None


def test_forgetting_leaves_nothing(store: IdentityStore, ours: AuthorityChain, tmp_path: Path) -> None:
    keep(store, ours)
    assert store.forget(keep_map=False)
    assert store.load() is None
    assert list(tmp_path.iterdir()) == []
    assert not store.forget(keep_map=False)


def test_forgetting_can_keep_the_sealed_map_until_the_next_identity(
    store: IdentityStore, ours: AuthorityChain, tmp_path: Path
) -> None:
    keep(store, ours)
    assert store.forget(keep_map=True)
    assert (store.load(), not store.forget(keep_map=True)) == (None, True)
    store.tidy()
    kept = store.kept_map()
    assert kept is not None
    assert (kept.file.read_bytes(), kept.hash, kept.key) == (b"sealed map", BLOB, BLOB)
    assert [path.name for path in tmp_path.iterdir()] == ["kept-nuc-map"]
    store.store(about(), SECRETS, (ours.device, ours.intermediate, ours.root), kept.file, provisioned=True)
    store.tidy()
    loaded = store.load()
    assert loaded is not None
    assert loaded.sealed_map.file.read_bytes() == b"sealed map"
    assert store.kept_map() is None
    assert store.forget(keep_map=True)
    assert store.forget(keep_map=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["secrets.msgpack", "nuc-map.sealed"])
def test_a_map_that_cannot_be_kept_is_not_removed_unasked(
    store: IdentityStore, ours: AuthorityChain, tmp_path: Path, name: str
) -> None:
    keep(store, ours)
    (tmp_path / "identity" / name).unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BirthmarkError) as caught:
        store.forget(keep_map=True)
    assert caught.value.code == "nuc.map-not-kept"
    assert sorted(tmp_path.rglob("*")) == before
    assert store.forget(keep_map=False)


def test_a_power_cut_at_any_step_of_forgetting_leaves_the_identity_or_its_kept_map(
    ours: AuthorityChain, tmp_path: Path
) -> None:
    class Cut(Disk):
        left = 0

        def __getattribute__(self, name: str) -> object:
            if name in ("make_directory", "write", "link", "rename", "remove", "sync"):
                if self.left == 0:
                    raise KeyboardInterrupt
                self.left -= 1
            return super().__getattribute__(name)

    for steps in range(100):
        state = tmp_path / str(steps)
        state.mkdir()
        keep(IdentityStore(state, Disk()), ours)
        disk = Cut()
        disk.left = steps
        cut = False
        try:
            IdentityStore(state, disk).forget(keep_map=True)
        except KeyboardInterrupt:
            cut = True
        store = IdentityStore(state, Disk())
        store.tidy()
        assert (store.load() is None) == (store.kept_map() is not None), steps
        assert len(list(state.glob(".identity-*"))) == (store.load() is not None)
        if not cut:
            break
    else:
        pytest.fail("it never ends")
    assert steps > 8


def test_no_identity_is_written_where_an_old_one_cannot_be_removed(
    store: IdentityStore, ours: AuthorityChain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each try would leave one more."""
    (tmp_path / ".identity-half").mkdir()

    def fail(_path: Path) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.rmtree", fail)
        for _ in range(3):
            with pytest.raises(BirthmarkError) as caught:
                keep(store, ours)
            assert caught.value.code == "disk.failed"
    assert [path.name for path in tmp_path.iterdir()] == [".identity-half"]


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


@pytest.mark.parametrize("put", [pipe, link])
@pytest.mark.parametrize("name", ["identity.json", "secrets.msgpack", "chain.pem"])
def test_what_is_no_file_is_neither_followed_nor_waited_for(
    store: IdentityStore, ours: AuthorityChain, tmp_path: Path, name: str, put: Callable[[Path], None]
) -> None:
    keep(store, ours)
    put(tmp_path / "identity" / name)
    with pytest.raises(BirthmarkError) as caught:
        store.load()
    assert caught.value.code == "identity.damaged"


def test_an_identity_that_links_to_itself_is_damaged(store: IdentityStore, tmp_path: Path) -> None:
    (tmp_path / "identity").symlink_to("identity")
    with pytest.raises(BirthmarkError) as caught:
        store.load()
    assert caught.value.code == "identity.damaged"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("identity.json", b""),
        ("identity.json", b"[" * 100_000),
        ("identity.json", b'{"serial": 1}'),
        ("secrets.msgpack", b"\x81"),
        ("secrets.msgpack", msgspec.msgpack.encode({"tables": [], "nuc_hash": {}, "nuc_map_key": {}})),
        ("chain.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        ("chain.pem", b""),
    ],
)
def test_a_damaged_file_is_named(
    store: IdentityStore, ours: AuthorityChain, tmp_path: Path, name: str, content: bytes
) -> None:
    keep(store, ours)
    (tmp_path / "identity" / name).write_bytes(content)
    with pytest.raises(BirthmarkError) as caught:
        store.load()
    assert caught.value.code == "identity.damaged"
    assert name in caught.value.detail


def test_every_file_is_private_whatever_the_umask(store: IdentityStore, ours: AuthorityChain, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        keep(store, ours, provisioned=True)
    finally:
        os.umask(before)
    identity = tmp_path / "identity"
    assert identity.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in identity.iterdir()} == {0o600}
    assert json.loads((identity / "identity.json").read_text())["table_ids"] == [1, 2, 3]
