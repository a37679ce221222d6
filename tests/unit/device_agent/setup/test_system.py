"""The files of a system under a prefix are regular, are read and written whole, and never outside of it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from device_agent.setup.system import NUC_MAP, SERVICE_USER, SETTINGS, STATE, System
from runtime.owner import User
from shared import limits
from shared.errors import BirthmarkError

FILE = PurePosixPath("/etc/file")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("etc", "var/lib", "boot/firmware"):
        (tmp_path / "tree" / name).mkdir(parents=True)
    return tmp_path / "tree"


def code(action: Callable[[], object]) -> str:
    with pytest.raises(BirthmarkError) as caught:
        action()
    return caught.value.code


def test_a_file_is_read_whole_and_up_to_its_limit_or_is_not_there(tree: Path) -> None:
    system = System(tree)
    assert system.read(FILE) is None
    (tree / "etc/file").write_bytes(b"12345")
    assert system.read(FILE) == system.read(FILE, 5) == b"12345"
    assert code(lambda: system.read(FILE, 4)) == "setup.file-unfit"


def test_only_an_ordinary_file_in_its_own_place_is_read(tree: Path, tmp_path: Path) -> None:
    system = System(tree)
    (tmp_path / "secret").write_bytes(b"secret")
    (tree / "etc/file").symlink_to(tmp_path / "secret")
    assert code(lambda: system.read(FILE)) == "setup.file-unfit"
    (tree / "etc/file").unlink()
    os.mkfifo(tree / "etc/file")
    assert code(lambda: system.read(FILE)) == "setup.file-unfit"
    (tree / "etc/link").symlink_to(tmp_path)
    assert code(lambda: system.read(PurePosixPath("/etc/link/secret"))) == "setup.outside"
    assert code(lambda: system.write(PurePosixPath("/etc/link/secret"), b"")) == "setup.outside"
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_a_link_that_stays_in_the_system_is_followed_on_the_way(tree: Path) -> None:
    (tree / "etc/link").symlink_to("../var")
    assert System(tree).place(PurePosixPath("/etc/link/file")) == tree / "etc/link/file"


def test_a_written_file_is_readable_by_all_and_keeps_its_mode(tree: Path) -> None:
    system, made = System(tree), tree / "etc/default"
    old = os.umask(0o077)
    try:
        system.write(SETTINGS, b"A=1\n")
    finally:
        os.umask(old)
    assert system.read(SETTINGS) == b"A=1\n"
    assert stat.S_IMODE(made.stat().st_mode) == 0o755
    assert stat.S_IMODE((tree / "etc/default/birthmark-agent").stat().st_mode) == 0o644
    (made / "birthmark-agent").chmod(0o640)
    system.write(SETTINGS, b"A=2\n")
    assert system.read(SETTINGS) == b"A=2\n"
    assert stat.S_IMODE((made / "birthmark-agent").stat().st_mode) == 0o640
    assert [path.name for path in made.iterdir()] == ["birthmark-agent"]


def test_the_state_directory_and_the_map_in_it_are_private(tree: Path) -> None:
    system, state = System(tree), tree / "var/lib/birthmark-agent"
    user = User(os.getuid(), os.getgid(), SERVICE_USER)
    system.make_state(user)
    system.make_state(user)
    assert system.map_there() is None
    system.write_map(b"a map")
    assert system.map_there() == b"a map"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE(system.place(NUC_MAP).stat().st_mode) == 0o600


def test_a_map_larger_than_any_is_not_read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "NUC_MAP_BYTES", 4)
    system = System(tree)
    system.make_state(User(os.getuid(), os.getgid(), SERVICE_USER))
    system.write_map(b"12345")
    assert code(system.map_there) == "setup.file-unfit"


@pytest.mark.parametrize("name", ["identity", "kept-nuc-map"])
def test_a_sealed_map_is_known_by_the_names_alone(tree: Path, name: str) -> None:
    system = System(tree)
    system.make_state(User(os.getuid(), os.getgid(), SERVICE_USER))
    assert not system.map_sealed()
    system.place(STATE / name).symlink_to("/nowhere")
    assert system.map_sealed()


def test_config_txt_is_where_this_release_has_it(tree: Path) -> None:
    system = System(tree)
    assert code(system.config_txt) == "setup.config-missing"
    (tree / "boot/config.txt").touch()
    assert system.config_txt() == PurePosixPath("/boot/config.txt")
    (tree / "boot/firmware/config.txt").touch()
    assert system.config_txt() == PurePosixPath("/boot/firmware/config.txt")


@pytest.mark.parametrize(
    ("passwd", "user"),
    [
        ("root:x:0:0::/:/bin/sh\nbirthmark-agent:x:12:34::/:/bin/false\n", User(12, 34, SERVICE_USER)),
        ("birthmark-agent-2:x:1:2::/:/bin/false\n", None),
        ("birthmark-agent:x:-1:2::/:/bin/false\n", None),
        ("birthmark-agent:x\n", None),
        ("\udcff", None),
        (None, None),
    ],
)
def test_the_services_user_is_that_systems_own(tree: Path, passwd: str | None, user: User | None) -> None:
    if passwd is not None:
        (tree / "etc/passwd").write_bytes(passwd.encode("utf-8", "surrogateescape"))
    if user:
        assert System(tree).service_user() == user
    else:
        assert code(System(tree).service_user) == "setup.no-service-user"


def test_an_image_has_no_devices_and_no_service_that_runs(tree: Path) -> None:
    image = System(tree)
    assert System().live
    assert (image.live, image.has_tpm(), image.has_usb_device(), image.restart_agent()) == (False,) * 4
