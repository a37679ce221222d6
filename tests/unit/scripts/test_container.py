"""`make container`: what is asked of buildah, and when the base is made again."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts import container

CALLED = """#!/bin/sh
echo "$(basename "$0") $*" >> {log}
case "$1" in inspect) exit {known};; esac
[ {well} = yes ] || {{ echo "no space left" >&2; exit 125; }}
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(container, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def buildah(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, known: bool = False, well: bool = True) -> Path:
    """Put a buildah on the path that writes down how it is called. Returns the file."""
    log, program = tmp_path / "called", tmp_path / "bin" / "buildah"
    program.parent.mkdir()
    program.write_text(CALLED.format(log=log, known=0 if known else 1, well="yes" if well else "no"))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return log


def test_the_base_is_made_once_and_only_when_whole(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, ...]] = []

    def bootstrap(_system: object, packages: tuple[str, ...], target: Path, *_options: str) -> None:
        made.append(tuple(packages))
        target.write_text("Debian")

    monkeypatch.setattr(container, "bootstrap", bootstrap)
    first = container.base_tar("amd64")
    assert container.base_tar("amd64") == first
    assert made == [container.DEPENDS]
    assert list(cache.iterdir()) == [first]
    monkeypatch.setattr(container, "DEPENDS", ("python3",))
    assert container.base_tar("amd64") != first


@pytest.mark.parametrize("known", [True, False])
def test_the_base_is_imported_unless_it_is_there(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    cache.mkdir()
    (cache / "base-0123.tar").write_text("Debian")
    monkeypatch.setattr(container, "base_tar", lambda _: cache / "base-0123.tar")
    log = buildah(tmp_path, monkeypatch, known=known)
    assert container.base("amd64") == "localhost/birthmark-base:0123"
    assert ("--tag=localhost/birthmark-base:0123" in log.read_text()) is not known
    if not known:
        assert (cache / "context" / "Containerfile").read_text() == "FROM scratch\nADD base-0123.tar /\n"
        assert (cache / "context" / "base-0123.tar").read_text() == "Debian"


def test_the_context_holds_the_recipe_and_this_package_only(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = buildah(tmp_path, monkeypatch)
    for version in ("1", "2"):
        package = tmp_path / f"birthmark-station_{version}_amd64.deb"
        package.write_text(version)
        assert container.make(package, "localhost/base") == container.IMAGE
    assert {path.name for path in (cache / "context").iterdir()} == {"Containerfile", "birthmark-station_2_amd64.deb"}
    assert "--format=docker" in log.read_text(), "OCI's format has no health check"
    assert "--build-arg=BASE=localhost/base" in log.read_text()


def test_what_buildah_says_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buildah(tmp_path, monkeypatch, well=False)
    package = tmp_path / "birthmark-station_1_amd64.deb"
    package.touch()
    with pytest.raises(container.ImageError, match=r"buildah ended with 125:\nno space left"):
        container.make(package, "localhost/base")
