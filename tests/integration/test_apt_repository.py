"""`make apt-repository` with small packages in place of the real ones, and the real apt with a root of its own."""

from __future__ import annotations

import datetime as dt
import gzip
import lzma
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scripts import apt_repository
from scripts.apt_repository import NAME, PUBLIC_KEY, RepositoryError, secret_key
from tests.harness.checkout import ROOT
from tests.harness.releaser import Releaser, releaser, source_for_apt

PYTHONS = {"12": 11, "13": 13}
"""The Python 3 of each Debian, which the package needs."""

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)


def package(dist: Path, version: str, architecture: str = "amd64", *, content: str = "") -> Path:
    tree = dist / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share").mkdir(parents=True)
    (tree / "usr/share/agent").write_text(content or version)
    python = PYTHONS.get(version[-2:], 11)
    (tree / "DEBIAN/control").write_text(
        f"Package: birthmark-agent\nVersion: {version}\nArchitecture: {architecture}\n"
        f"Depends: python3 (>= 3.{python}~), python3 (<< 3.{python + 1}~)\n"  # as debian/rules has it
        "Maintainer: x <x@example.invalid>\nDescription: x\n"
    )
    made = dist / f"birthmark-agent_{version}_{architecture}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "--build", tree, made], check=True, stdout=subprocess.DEVNULL, timeout=60
    )
    shutil.rmtree(tree)
    return made


class Client:
    """A machine that takes packages from a repository as docs/apt.md says."""

    def __init__(
        self, root: Path, repository: Path, distribution: str = "bookworm", architecture: str = "amd64"
    ) -> None:
        self.root = root
        for name in (
            *(f"etc/apt/{name}" for name in ("keyrings", "sources.list.d", "apt.conf.d", "preferences.d")),
            "var/lib/dpkg",
            "var/log/apt",
            "var/cache/apt/archives/partial",
        ):
            (root / name).mkdir(parents=True)
        python = PYTHONS["12" if distribution == "bookworm" else "13"]
        (root / "var/lib/dpkg/status").write_text(
            f"Package: python3\nVersion: 3.{python}.2-1\nArchitecture: {architecture}\n"
            "Status: install ok installed\nMaintainer: x <x@example.invalid>\nDescription: x\n"
        )
        self.trust(repository)
        self.source = root / "etc/apt/sources.list.d/birthmark.sources"
        self.source.write_text(
            source_for_apt(f"file:{repository}", distribution).replace("/etc/apt", f"{root}/etc/apt")
        )
        # Named by the environment, it is read before this machine's own settings would be.
        (root / "apt.conf").write_text(
            f'Dir "{root}";\nDir::State::status "{root}/var/lib/dpkg/status";\nDir::Bin::dpkg "/usr/bin/dpkg";\n'
            f'APT::Architecture "{architecture}";\nAPT::Architectures "{architecture}";\n'
            f'APT::Sandbox::User "{_me()}";\n'
            f'DPkg::Options {{ "--root={root}"; "--force-not-root"; "--force-architecture"; "--log=/dev/null"; }};\n'
            'Dir::Log "var/log/apt";\n'
        )

    def trust(self, repository: Path) -> None:
        shutil.copy(repository / PUBLIC_KEY, self.root / "etc/apt/keyrings/birthmark.asc")

    def apt_get(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["apt-get", *(["--error-on=any"] if arguments[0] == "update" else []), *arguments],
            env={**os.environ, "APT_CONFIG": f"{self.root}/apt.conf", "LC_ALL": "C.UTF-8"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300, check=False,
        )  # fmt: skip

    def good(self, *arguments: str) -> str:
        done = self.apt_get(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def refuses(self, *arguments: str) -> str:
        done = self.apt_get(*arguments)
        assert done.returncode != 0, done.stdout
        return done.stdout

    @property
    def installed(self) -> str:
        """The content of the installed package; its version, unless it was made with another."""
        file = self.root / "usr/share/agent"
        return file.read_text() if file.exists() else ""


def _me() -> str:
    return subprocess.run(["id", "--user", "--name"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def one() -> Iterator[Releaser]:
    with releaser() as one:
        yield one


@pytest.fixture(scope="module")
def key(one: Releaser) -> str:
    return one.make_key("Releaser <releaser@example.invalid>")


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """Two releases for two architectures, as two times two builds leave them."""
    dist = tmp_path / "dist"
    for version in ("0.1.0+deb12", "0.1.0+deb13"):
        for architecture in ("amd64", "arm64"):
            package(dist, version, architecture)
    return dist


@pytest.fixture
def repository(dist: Path, one: Releaser, key: str) -> Path:
    one.publish(dist, key)
    return dist / NAME


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
@pytest.mark.parametrize(("distribution", "version"), [("bookworm", "0.1.0+deb12"), ("trixie", "0.1.0+deb13")])
def test_apt_installs_the_package_of_its_release_and_architecture(
    repository: Path, tmp_path: Path, distribution: str, version: str, architecture: str
) -> None:
    client = Client(tmp_path / "client", repository, distribution, architecture)
    client.good("update")
    client.good("install", "-y", "birthmark-agent")
    assert client.installed == version
    status = (client.root / "var/lib/dpkg/status").read_text()
    assert f"Architecture: {architecture}\n" in status


def test_bookworm_is_never_offered_trixies_package_although_its_version_is_higher(
    repository: Path, tmp_path: Path
) -> None:
    client = Client(tmp_path / "client", repository)
    client.good("update")
    client.good("install", "-y", "birthmark-agent")
    assert "0 upgraded" in client.good("dist-upgrade", "-y")
    assert "was not found" in client.refuses("install", "-y", "birthmark-agent=0.1.0+deb13")
    assert client.installed == "0.1.0+deb12"


def test_a_new_build_is_an_upgrade_and_what_left_dist_is_offered_no_more(
    repository: Path, dist: Path, one: Releaser, key: str, tmp_path: Path
) -> None:
    client = Client(tmp_path / "client", repository)
    client.good("update")
    client.good("install", "-y", "birthmark-agent")
    (dist / "birthmark-agent_0.1.0+deb12_amd64.deb").unlink()
    package(dist, "0.2.0+deb12")
    one.publish(dist, key)
    client.good("update")
    client.good("install", "-y", "--only-upgrade", "birthmark-agent")
    assert client.installed == "0.2.0+deb12"
    assert "was not found" in client.refuses("install", "-y", "--allow-downgrades", "birthmark-agent=0.1.0+deb12")


def test_a_version_that_is_kept_in_dist_is_a_way_back(repository: Path, dist: Path, one: Releaser, key: str) -> None:
    client = Client(dist.parent / "client", repository)
    package(dist, "0.2.0+deb12")
    one.publish(dist, key)
    client.good("update")
    client.good("install", "-y", "birthmark-agent")
    client.good("install", "-y", "--allow-downgrades", "birthmark-agent=0.1.0+deb12")
    assert client.installed == "0.1.0+deb12"


def test_all_that_apt_may_ask_for_is_there_and_signed_with_the_whole_of_it_under_sha2(
    repository: Path, one: Releaser, key: str
) -> None:
    directory = repository / "trixie"
    packages = (directory / "Packages").read_bytes()
    assert gzip.decompress((directory / "Packages.gz").read_bytes()) == packages
    assert lzma.decompress((directory / "Packages.xz").read_bytes()) == packages
    release = (directory / "Release").read_text()
    for line in ("Suite: trixie", "Codename: trixie", "Origin: Birthmark", "Architectures: amd64 arm64"):
        assert line in release.splitlines()
    for weak in ("MD5Sum", "SHA1", "Valid-Until"):
        assert weak not in release + packages.decode()
    for signed in (["InRelease"], ["Release.gpg", "Release"]):
        told = subprocess.run(
            ["gpg", "--homedir", one.home, "--batch", "--status-fd", "1", "--verify", *signed],
            cwd=directory, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        assert f"VALIDSIG {key}" in told


def test_run_again_it_leaves_the_same_repository_and_nothing_else(
    repository: Path, dist: Path, one: Releaser, key: str
) -> None:
    def content() -> dict[str, bytes]:
        return {
            str(path.relative_to(repository)): path.read_bytes()
            for path in sorted(repository.rglob("*"))
            if path.is_file() and "Release" not in path.name
        }

    before, files = content(), sorted(path.name for path in dist.glob("*.deb"))
    (dist / f".{NAME}-left-by-a-kill").mkdir()
    (dist / f".{NAME}-other.link").symlink_to("nowhere")
    one.publish(dist, key)
    assert content() == before
    assert sorted(os.listdir(dist)) == sorted([*files, NAME, os.readlink(repository)])
    assert oct((dist / os.readlink(repository)).stat().st_mode)[-3:] == "755", "a web server reads it"


# --- what is refused, and leaves the former repository ---


@pytest.fixture
def unchanged(repository: Path) -> Iterator[None]:
    before = os.readlink(repository), (repository / "bookworm/InRelease").read_bytes(), os.listdir(repository.parent)
    yield
    after = os.readlink(repository), (repository / "bookworm/InRelease").read_bytes(), os.listdir(repository.parent)
    assert (*after[:2], sorted(after[2])) == (*before[:2], sorted(before[2]))


@pytest.fixture
def attempt(one: Releaser, key: str, dist: Path, unchanged: None) -> Callable[..., str]:
    """Try to publish; return why not."""

    def attempt(named: str = key, valid_days: int | None = None) -> str:
        with pytest.raises(RepositoryError) as refused:
            one.publish(dist, named, valid_days=valid_days)
        return str(refused.value)

    return attempt


@pytest.mark.parametrize("version", ["0.1.0", "0.1.0+deb11", "0.1.0+deb12+mine"])
def test_a_package_of_no_release_is_named(attempt: Callable[..., str], dist: Path, version: str) -> None:
    extra = package(dist, version)
    told = attempt()
    extra.unlink()
    assert extra.name in told
    assert "+deb12 (bookworm)" in told


def test_a_package_that_is_half_copied_is_named(attempt: Callable[..., str], dist: Path) -> None:
    half = dist / "birthmark-agent_0.2.0+deb12_amd64.deb"
    whole = package(dist, "0.2.0+deb12", content="".join(map(str, range(10000)))).read_bytes()
    half.write_bytes(whole[: len(whole) * 2 // 3])
    told = attempt()
    half.unlink()
    assert f"{half.name} is not a whole package" in told


def test_a_key_must_be_named(attempt: Callable[..., str]) -> None:
    told = attempt("")
    assert "KEY=FINGERPRINT" in told
    assert "gpg --quick-generate-key" in told


@pytest.mark.parametrize("named", ["nobody@example.invalid", "0" * 40, "--export-secret-keys", "\n"])
def test_a_key_that_is_not_ours_is_refused_with_what_to_do(attempt: Callable[..., str], named: str) -> None:
    told = attempt(named)
    assert "gpg --list-secret-keys" in told


def test_a_public_key_alone_signs_nothing(one: Releaser, monkeypatch: pytest.MonkeyPatch) -> None:
    with releaser() as other:
        theirs = other.make_key("Other <other@example.invalid>")
        exported = subprocess.run(
            ["gpg", "--homedir", other.home, "--batch", "--export", theirs], capture_output=True, check=True
        ).stdout
    subprocess.run(["gpg", "--homedir", one.home, "--batch", "--quiet", "--import"], input=exported, check=True)
    monkeypatch.setenv("GNUPGHOME", str(one.home))
    with pytest.raises(RepositoryError, match="no secret key"):
        secret_key(theirs)


def test_a_user_id_that_two_keys_have_is_refused(attempt: Callable[..., str], one: Releaser, key: str) -> None:
    second = one.make_key("Second releaser <second@example.invalid>")
    told = attempt("releaser")
    assert key in told
    assert second in told


def test_a_repository_that_has_expired_at_once_is_refused(attempt: Callable[..., str]) -> None:
    assert "VALID_DAYS" in attempt(valid_days=0)


def test_an_expired_key_is_refused_and_how_to_extend_it_is_said(attempt: Callable[..., str], one: Releaser) -> None:
    old = one.make_key("Old <old@example.invalid>", expires="seconds=1")
    time.sleep(2)
    assert "quick-set-expire" in attempt(old)


def test_a_passphrase_that_nobody_can_be_asked_for_is_named_as_the_reason(
    attempt: Callable[..., str], one: Releaser
) -> None:
    locked = one.make_key("Locked <locked@example.invalid>", passphrase="a passphrase, long")
    subprocess.run(["gpgconf", "--homedir", one.home, "--kill", "gpg-agent"], check=True)  # it remembers
    assert "gpg-preset-passphrase" in attempt(locked)


def test_a_directory_of_another_in_its_place_is_left_alone(dist: Path, one: Releaser, key: str) -> None:
    (dist / NAME).mkdir()
    (dist / NAME / "mine").touch()
    with pytest.raises(RepositoryError, match="move it away"):
        one.publish(dist, key)
    assert (dist / NAME / "mine").exists()


def test_no_packages_are_no_repository(tmp_path: Path, one: Releaser, key: str) -> None:
    with pytest.raises(RepositoryError, match="make packages"):
        one.publish(tmp_path, key)
    with pytest.raises(RepositoryError, match="make packages"):
        one.publish(tmp_path / "dist", key)
    assert os.listdir(tmp_path) == []


def test_a_kill_in_the_middle_leaves_the_former_one_and_the_next_run_tidies(
    repository: Path, dist: Path, one: Releaser, key: str, unchanged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(apt_repository, "_sign", killed)
    with pytest.raises(KeyboardInterrupt):
        one.publish(dist, key)


def test_the_command_prints_what_it_made_or_why_not(dist: Path, one: Releaser, key: str) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "scripts.apt_repository", "--dist", dist, *arguments],
            cwd=ROOT, env={**os.environ, "GNUPGHOME": str(one.home)}, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    done = run("--key", key, "--valid-days", "30")
    assert done.returncode == 0, done.stderr
    assert "trixie/birthmark-agent_0.1.0+deb13_arm64.deb\n" in done.stdout
    assert "Valid-Until: " in (dist / NAME / "trixie/Release").read_text()
    without = run()
    assert (without.returncode, without.stdout) == (1, "")
    assert "KEY=" in without.stderr
    assert "Traceback" not in without.stderr


# --- attacks on who takes packages from it ---


@pytest.fixture
def client(repository: Path, tmp_path: Path) -> Client:
    client = Client(tmp_path / "client", repository)
    client.good("update")
    return client


@pytest.mark.attack("who serves packages changes one of them, or the list of them")
@pytest.mark.parametrize("file", ["Packages", "Release", "InRelease", "package"])
def test_what_was_changed_on_the_way_is_refused(
    client: Client, repository: Path, got: Callable[[str], None], file: str
) -> None:
    directory = repository / "bookworm"
    if file == "package":
        evil = package(repository.parent / "evil", "0.1.0+deb12", content="evil")
        shutil.copy(evil, directory)
        told = client.refuses("install", "-y", "birthmark-agent")
        assert "size" in told or "Hash Sum mismatch" in told, told
    else:
        shutil.rmtree(client.root / "var/lib/apt/lists")
        if file == "Packages":
            changed = (directory / file).read_bytes().replace(b"Version: 0.1.0", b"Version: 9.1.0")
            (directory / file).write_bytes(changed)
            (directory / "Packages.gz").write_bytes(gzip.compress(changed, mtime=0))
            (directory / "Packages.xz").write_bytes(lzma.compress(changed))
        else:
            if file == "Release":
                (directory / "InRelease").unlink()
            path = directory / file
            path.write_text(path.read_text().replace("Origin: Birthmark", "Origin: Somebody"))
        client.refuses("update")
        client.refuses("install", "-y", "birthmark-agent")
    assert client.installed == ""
    got("nothing: apt installs none of it")


@pytest.mark.attack("who serves packages signs them with a key of his own")
def test_another_keys_signature_is_refused(
    client: Client, repository: Path, dist: Path, tmp_path: Path, got: Callable[[str], None]
) -> None:
    evil = tmp_path / "evil"
    package(evil, "9.0.0+deb12")
    with releaser() as other:
        other.publish(evil, other.make_key("Releaser <releaser@example.invalid>"))
    shutil.rmtree(repository / "bookworm")
    shutil.copytree(evil / NAME / "bookworm", repository / "bookworm")
    assert "NO_PUBKEY" in client.refuses("update")
    client.apt_get("install", "-y", "birthmark-agent")
    assert client.installed != "9.0.0+deb12"
    got("nothing: it is not the key that the client was given")


@pytest.mark.attack("who serves packages removes the signatures")
def test_an_unsigned_repository_is_refused(
    client: Client, repository: Path, tmp_path: Path, got: Callable[[str], None]
) -> None:
    for name in ("InRelease", "Release.gpg"):
        (repository / "bookworm" / name).unlink()
    assert "no longer signed" in client.refuses("update")
    assert "is not signed" in Client(tmp_path / "another", repository).refuses("update")
    got("nothing: apt asks for them")


@pytest.mark.attack("who serves packages shows Trixie's, which are signed, to Bookworm")
def test_another_releases_directory_under_this_ones_name_is_refused(
    client: Client, repository: Path, tmp_path: Path, got: Callable[[str], None]
) -> None:
    shutil.rmtree(repository / "bookworm")
    shutil.copytree(repository / "trixie", repository / "bookworm")
    assert "changed its 'Codename' value" in client.refuses("update")
    new = Client(tmp_path / "new", repository)
    assert "expected bookworm/ but got trixie" in new.good("update"), "apt only warns whom it sees for the first time"
    assert "unmet dependencies" in new.refuses("install", "-y", "birthmark-agent")
    assert new.installed == ""
    got("nothing: the signed list says whose it is, and the package needs Trixie's Python")


@pytest.mark.attack("who serves packages shows an older repository, which is signed, for ever")
def test_an_older_repository_is_not_taken_and_an_expired_one_is_refused(
    dist: Path, one: Releaser, key: str, tmp_path: Path, got: Callable[[str], None]
) -> None:
    one.publish(dist, key, NOW - dt.timedelta(days=3))
    former = tmp_path / "former"
    shutil.copytree(dist / NAME, former)
    package(dist, "0.2.0+deb12")
    one.publish(dist, key, NOW - dt.timedelta(days=1))
    client = Client(tmp_path / "client", dist / NAME)
    client.good("update")
    newest = dist / os.readlink(dist / NAME)
    shutil.rmtree(newest)
    shutil.copytree(former, newest)
    client.apt_get("update")
    shown = client.good("install", "--simulate", "birthmark-agent")
    assert "0.2.0+deb12" in shown, "what it has seen stays"

    one.publish(dist, key, NOW - dt.timedelta(days=31), valid_days=30)
    late = Client(tmp_path / "late", dist / NAME)
    assert "is expired" in late.refuses("update")
    got("no older package once a newer one was seen; with VALID_DAYS an end, too")
