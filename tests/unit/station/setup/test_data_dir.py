"""The data directory: made whole or not at all, replaced only when it is a station's, and private or refused."""

from __future__ import annotations

import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from shared.errors import BirthmarkError
from station.setup import data_dir
from station.setup.data_dir import MARK, REQUIRED, check, create, is_station, occupied
from station.setup.data_lock import LOCK_NAME, locked


def fill(folder: Path) -> None:
    """Make the files of a whole data directory, with their modes and no content."""
    for name in REQUIRED:
        path = folder / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(name)


def half_fill(folder: Path) -> None:
    (folder / MARK).touch()
    raise LookupError("something else went wrong")


def refusal(attempt: Callable[[], object]) -> BirthmarkError:
    with pytest.raises(BirthmarkError) as caught:
        attempt()
    return caught.value


@pytest.fixture
def made(tmp_path: Path) -> Path:
    create(tmp_path / "data", fill, force=False)
    return tmp_path / "data"


# --- making ---


def test_a_new_data_directory_is_whole_and_private(tmp_path: Path) -> None:
    directory = tmp_path / "var" / "data"
    assert create(directory, fill, force=False) is None
    check(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert [path.name for path in directory.parent.iterdir()] == ["data"]


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert create(tmp_path / "data", fill, force=False) is None
    check(tmp_path / "data")


@pytest.mark.parametrize("force", [False, True])
def test_a_failed_create_leaves_nothing_and_changes_nothing(tmp_path: Path, made: Path, force: bool) -> None:
    with pytest.raises(LookupError):
        create(tmp_path / "new", half_fill, force=force)
    if force:
        with pytest.raises(LookupError):
            create(made, half_fill, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    check(made)


def test_a_station_is_replaced_only_by_force_and_moved_aside(made: Path) -> None:
    (made / "station.toml").write_text("mine")
    assert refusal(lambda: create(made, fill, force=False)).code == "data.exists"
    aside = create(made, fill, force=True)
    assert aside is not None
    assert aside.name.startswith("data.replaced-")
    assert (aside / "station.toml").read_text() == "mine"
    assert (made / "station.toml").read_text() == "station.toml"


@pytest.mark.parametrize("force", [False, True])
def test_a_directory_that_is_no_station_is_never_replaced(tmp_path: Path, force: bool) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters").touch()
    for place in (tmp_path / "file", tmp_path / "home"):
        assert refusal(partial(create, place, fill, force=force)).code == "data.not-a-station"
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letters"]


def test_a_station_that_runs_is_not_replaced(made: Path) -> None:
    with locked(made):
        assert refusal(lambda: create(made, fill, force=True)).code == "data.in-use"
    assert (made / LOCK_NAME).exists(), "the directory was moved"


def test_a_parent_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refusal(lambda: create(tmp_path / "file" / "data", fill, force=False))
    assert error.code == "data.unwritable"
    assert str(tmp_path / "file") in error.detail


# --- looking ---


def test_only_what_holds_something_is_occupied_and_only_with_its_mark_a_station(tmp_path: Path, made: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letters").touch()
    places = {place: tmp_path / place for place in ("none", "empty", "file", "home")} | {"data": made}
    assert {place for place, path in places.items() if occupied(path)} == {"file", "home", "data"}
    assert {place for place, path in places.items() if is_station(path)} == {"data"}


def test_an_incomplete_station_is_still_a_station(made: Path) -> None:
    (made / "registry.sqlite").unlink()
    assert is_station(made)


# --- checking ---


@pytest.mark.parametrize("place", ["none", "empty"])
def test_a_directory_with_nothing_in_it_is_missing(tmp_path: Path, place: str) -> None:
    (tmp_path / "empty").mkdir()
    assert refusal(lambda: check(tmp_path / place)).code == "data.missing"


def test_a_directory_with_other_files_only_holds_no_station(tmp_path: Path) -> None:
    (tmp_path / "notes").touch()
    error = refusal(lambda: check(tmp_path))
    assert (error.code, error.detail) == ("data.no-station", str(tmp_path))


def test_for_a_path_one_level_too_high_the_error_names_the_station(made: Path) -> None:
    error = refusal(lambda: check(made.parent))
    assert (error.code, error.detail) == ("data.no-station", f"{made.parent}; there is one in {made}")
    assert "backup" not in error.advice


@pytest.mark.parametrize("name", REQUIRED)
def test_each_file_is_required_unless_it_comes_from_elsewhere(made: Path, name: str) -> None:
    (made / name).unlink()
    error = refusal(lambda: check(made))
    assert (error.code, error.detail) == ("data.incomplete", f"{made} lacks {name}")
    check(made, supplied=(name,))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
@pytest.mark.parametrize("name", REQUIRED)
def test_a_file_that_others_may_touch_is_refused_by_name_and_mode(made: Path, name: str, mode: int) -> None:
    (made / name).chmod(mode)
    error = refusal(lambda: check(made))
    assert (error.code, error.detail) == ("data.readable-by-others", f"{made / name} has mode {mode:04o}")


def test_a_directory_that_others_may_enter_is_refused(made: Path) -> None:
    made.chmod(0o750)
    assert refusal(lambda: check(made)).code == "data.readable-by-others"


def test_a_path_that_cannot_be_read_is_named(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is injected, because root can read everything."""

    def denied(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(data_dir, "occupied", denied)
    error = refusal(lambda: check(made))
    assert error.code == "data.unreadable"
    assert error.detail.startswith(f"{made}: Permission denied")
