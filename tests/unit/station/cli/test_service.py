"""The service that the package installs: its home, and the calls of systemctl."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.owner import User
from shared.errors import BirthmarkError
from station.cli import service

ME = User(os.geteuid(), os.getegid(), "me")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(service, "SERVICE_DATA_DIR", tmp_path / "home" / "data")
    return tmp_path / "home"


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a systemctl that records its arguments in `calls`, then runs `answer` if it exists. Returns its folder."""
    program = tmp_path / "bin" / "systemctl"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$@" >> "$(dirname "$0")/calls"\n'
        'if [ -f "$(dirname "$0")/answer" ]; then . "$(dirname "$0")/answer"; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return program.parent


def test_a_machine_without_the_packages_user_lacks_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "user_named", lambda _name: None)
    with pytest.raises(BirthmarkError, match=r"setup\.package-missing"):
        service.service_user()
    monkeypatch.setattr(service, "user_named", lambda _name: ME)
    assert service.service_user() is ME


def test_the_home_is_made_private_and_made_so_again(home: Path) -> None:
    service.make_home(ME)
    assert home.stat().st_mode & 0o777 == 0o700
    home.chmod(0o755)
    service.make_home(ME)
    assert (home.stat().st_mode & 0o777, home.stat().st_uid) == (0o700, ME.uid)


def test_a_home_of_somebody_else_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.mkdir(mode=0o755)
    monkeypatch.setattr(service, "ROOT", -1)
    with pytest.raises(BirthmarkError, match=r"belongs to .*, not to other.*data\.unwritable"):
        service.make_home(User(ME.uid + 1, ME.gid, "other"))
    assert (home.stat().st_mode & 0o777, home.stat().st_uid) == (0o755, ME.uid)


def test_a_home_that_is_a_link_is_not_followed(home: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o755)
    home.symlink_to(target)
    with pytest.raises(BirthmarkError, match=r"data\.unwritable"):
        service.make_home(ME)
    assert target.stat().st_mode & 0o777 == 0o755


def test_a_start_enables_the_socket_and_starts_the_service(systemctl: Path) -> None:
    service.start()
    assert (systemctl / "calls").read_text().splitlines() == [
        "enable --now birthmark-station.socket",
        "start birthmark-station.service",
    ]


def test_an_error_holds_the_end_of_systemctls_output(systemctl: Path) -> None:
    (systemctl / "answer").write_text("for line in 1 2 3 4 5 6 7; do echo line $line >&2; done; exit 3")
    with pytest.raises(BirthmarkError) as caught:
        service.start()
    assert caught.value.code == "setup.service-failed"
    assert caught.value.detail == (
        "systemctl enable --now birthmark-station.socket: line 3 line 4 line 5 line 6 line 7"
    )


@pytest.mark.parametrize(
    ("answer", "address"),
    [("echo '127.0.0.1:8001 (Stream)'", "http://127.0.0.1:8001/"), ("echo", "")],
)
def test_the_page_is_where_the_socket_listens(systemctl: Path, answer: str, address: str) -> None:
    (systemctl / "answer").write_text(answer)
    assert service.page_address() == address


def test_systemd_runs_where_it_was_booted_and_can_be_asked(
    systemctl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_SYSTEMD_RUNS", tmp_path)
    assert service.systemd_runs()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not service.systemd_runs()
    with pytest.raises(BirthmarkError, match=r"setup\.service-failed"):
        service.start()
    monkeypatch.setenv("PATH", str(systemctl))
    monkeypatch.setattr(service, "_SYSTEMD_RUNS", tmp_path / "none")
    assert not service.systemd_runs()
