"""Where pip goes on this machine, it goes in a chroot; and what is said when a mirror has no such Debian."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from scripts import chroot
from scripts.chroot import ChrootError, System, bootstrap, local_paths, pip_settings, remove

TOLD = """:env:.find-links='/wheels'
global.cert='/etc/ssl/own.crt'
global.extra-index-url='file:///opt/one/simple/\\nhttps://example.org/simple'
install.no-binary='x'
"""


def test_the_settings_of_pip_are_written_as_pip_reads_them() -> None:
    written = configparser.RawConfigParser()
    written.read_string(pip_settings(TOLD))
    assert written["global"]["cert"] == "/etc/ssl/own.crt"
    assert written["global"]["extra-index-url"].split() == ["file:///opt/one/simple/", "https://example.org/simple"]
    assert written["install"]["no-binary"] == "x"
    assert written.sections() == ["global", "install"], "the environment's are handed on as such"


def test_files_and_folders_that_pip_is_told_to_use_are_found() -> None:
    assert list(local_paths([pip_settings(TOLD), "/wheels /more", "relative https://example.org/"])) == [
        "/etc/ssl/own.crt",
        "/opt/one",
        "/wheels",
        "/more",
    ]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put an mmdebstrap in place of the real one that notes its arguments. Returns the folder of the note."""
    programs = {
        "mmdebstrap": f'echo "$@" >{tmp_path}/note\necho "E: no such suite"\n[ -e {tmp_path}/works ]',
        "unshare": f'echo "$1" >{tmp_path}/mounts\nshift 3; exec "$@"',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(chroot, "this_machine", lambda: ("bookworm", "amd64"))
    return tmp_path


def test_a_mirror_without_that_release_is_named_as_the_reason(machine: Path) -> None:
    with pytest.raises(ChrootError, match=r"(?s)no trixie for amd64.*DEBIAN_MIRROR.*E: no such suite"):
        bootstrap(System("trixie", "amd64"), ["bash"], machine / "out")


def test_a_mirror_of_ones_own_is_used(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine / "works").touch()
    monkeypatch.setenv("DEBIAN_MIRROR", "http://mirror.invalid/debian")
    bootstrap(System("trixie", "amd64"), ["bash"], machine / "out")
    assert (machine / "note").read_text().endswith(f"trixie {machine}/out http://mirror.invalid/debian\n")


def test_mounts_of_a_killed_mmdebstrap_die_with_it(machine: Path) -> None:
    (machine / "works").touch()
    bootstrap(System("trixie", "amd64"), ["bash"], machine / "out")
    assert (machine / "mounts").read_text() == "--mount\n"


def test_a_tree_with_a_mount_in_it_is_not_removed(tmp_path: Path) -> None:
    """What is mounted there may be this machine's own /dev/shm."""
    tree = tmp_path / "tree"
    (tree / "dev/shm").mkdir(parents=True)
    mounts = tmp_path / "mounts"
    mounts.write_text(f"proc /proc proc rw 0 0\ntmpfs {tree}/dev/shm tmpfs rw 0 0\n")
    with pytest.raises(ChrootError, match="dev/shm; umount"):
        remove(tree, mounts)
    assert (tree / "dev/shm").is_dir()
    mounts.write_text(f"tmpfs {tree}-other/dev/shm tmpfs rw 0 0\n")
    remove(tree, mounts)
    remove(tree, mounts)
    assert not tree.exists()


def test_the_emulated_compiler_gives_way_to_this_machines(tmp_path: Path) -> None:
    root, cross = tmp_path / "root", tmp_path / "cross"
    files = {
        root / "usr/libexec/gcc/aarch64-linux-gnu/14/cc1": "emulated",
        cross / "usr/libexec/gcc-cross/aarch64-linux-gnu/14/cc1": "native",
        cross / "usr/lib/x86_64-linux-gnu/libgmp.so.10": "library",
        cross / "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2": "loader",
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True)
        path.write_text(text)
    chroot.use_own_compiler(root, System("trixie", "arm64"), cross, "amd64")
    assert (root / "usr/libexec/gcc/aarch64-linux-gnu/14/cc1").read_text() == "native"
    assert (root / "usr/lib/x86_64-linux-gnu/libgmp.so.10").read_text() == "library"
    assert (root / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2").read_text() == "loader"
    assert str((root / "lib64/ld-linux-x86-64.so.2").readlink()) == "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"
    headers = root / "usr/lib/gcc-cross/aarch64-linux-gnu/14/include"
    assert str(headers.readlink()) == "/usr/lib/gcc/aarch64-linux-gnu/14/include"


def test_the_cross_compiler_is_the_releases_own() -> None:
    assert chroot.compiler_package(System("bookworm", "arm64")) == "cpp-12-aarch64-linux-gnu"
    assert chroot.compiler_package(System("trixie", "amd64")) == "cpp-14-x86-64-linux-gnu"
