"""Setting a system up under a prefix: everything is checked before anything is changed, and links mislead nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from device_agent.nuc_map import format as map_file
from device_agent.setup.steps import Answers, Outcome, Report, root_known, set_up
from device_agent.setup.system import System
from shared.errors import BirthmarkError
from tests.harness.certificates import AuthorityChain, chain_of_trust

CONFIG = b"dtparam=audio=on\n"
IDS = (os.getuid() or 12345, os.getgid() or 12346)


@pytest.fixture(scope="module")
def ours() -> AuthorityChain:
    return chain_of_trust()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    for name in ("etc/default", "boot/firmware", "var/lib"):
        (tree / name).mkdir(parents=True)
    (tree / "boot/firmware/config.txt").write_bytes(CONFIG)
    (tree / "etc/passwd").write_text(f"root:x:0:0::/:/bin/sh\nbirthmark-agent:x:{IDS[0]}:{IDS[1]}::/:/bin/false\n")
    (tree / "etc/default/birthmark-agent").write_text("#BIRTHMARK_ROOT_CERTIFICATE=/etc/birthmark-agent/root.pem\n")
    return tree


def a_map(level: int = 1) -> bytes:
    header = map_file.Header(
        width=2, height=2, pattern="MONO", bits=10, sensor="s", dark_frames=8, flat_frames=8, reliability=(0.5,)
    )
    plane = level.to_bytes(2, "little") * 4
    return map_file.encode(map_file.MapFile(header, memoryview(plane), memoryview(plane)))


def refuse(question: str) -> None:
    raise PermissionError(question)


@pytest.fixture
def answers(tmp_path: Path, ours: AuthorityChain) -> Answers:
    (tmp_path / "root.pem").write_bytes(ours.root.public_bytes(Encoding.PEM))
    (tmp_path / "nuc.map").write_bytes(a_map())
    return Answers(tmp_path / "root.pem", False, tmp_path / "nuc.map", True, "tpm-slb9670", None, None, refuse)


def outcomes(report: Report) -> dict[str, Outcome]:
    return {step.what: step.outcome for step in report.steps}


def content(tree: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return every file with its mode, its time of change and its content."""
    files = (path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink())
    return {str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def code(call: Callable[[], object]) -> str:
    with pytest.raises(BirthmarkError) as caught:
        call()
    return caught.value.code


def test_everything_is_put_in_place_and_the_second_time_nothing_changes(tree: Path, answers: Answers) -> None:
    report = set_up(System(tree), answers)
    assert outcomes(report) == {
        "Boot settings": Outcome.DONE,
        "TPM": Outcome.LATER,
        "Root certificate": Outcome.DONE,
        "NUC map": Outcome.DONE,
    }
    assert (report.changed, report.restart_needed) == (True, False)
    config = tree / "boot/firmware/config.txt"
    assert config.read_bytes().endswith(b"[all]\ndtoverlay=dwc2\ndtparam=dr_mode=peripheral\ndtoverlay=tpm-slb9670\n")
    assert (tree / "boot/firmware/config.txt.before-birthmark").read_bytes() == CONFIG
    installed = tree / "etc/birthmark-agent/root.pem"
    assert installed.read_bytes() == answers.root.read_bytes()  # type: ignore[union-attr]
    assert stat.S_IMODE(installed.stat().st_mode) == 0o644
    assert stat.S_IMODE(installed.parent.stat().st_mode) == 0o755
    settings = (tree / "etc/default/birthmark-agent").read_text()
    assert settings == "BIRTHMARK_ROOT_CERTIFICATE=/etc/birthmark-agent/root.pem\n"
    state, waiting = tree / "var/lib/birthmark-agent", tree / "var/lib/birthmark-agent/nuc.map"
    assert (waiting.read_bytes(), stat.S_IMODE(waiting.stat().st_mode)) == (a_map(), 0o600)
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (state, waiting)} == {IDS}
    before = content(tree)
    again = set_up(System(tree), answers)
    assert (again.changed, content(tree)) == (False, before)
    bare = set_up(System(tree), replace(answers, root=None, nuc_map=None))
    assert (bare.changed, content(tree)) == (False, before)
    assert Outcome.MISSING not in outcomes(bare).values()


def test_without_a_map_the_exact_command_to_capture_one_is_printed(tree: Path, answers: Answers) -> None:
    report = set_up(System(tree), replace(answers, nuc_map=None))
    assert outcomes(report)["NUC map"] is Outcome.MISSING
    assert "`sudo birthmark-agent nuc capture --output /var/lib/birthmark-agent/nuc.map`" in report.next[0]
    assert (tree / "var/lib/birthmark-agent").stat().st_uid == IDS[0]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("root.pem", b"", "trust.root-not-one"),
        ("root.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "trust.root-not-one"),
        ("nuc.map", b"no map", "nuc.map-not-one"),
        ("nuc.map", b"", "nuc.map-empty"),
        ("nuc.map", a_map()[:-1], "nuc.map-damaged"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_changed(
    tree: Path, answers: Answers, tmp_path: Path, name: str, data: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(data)
    before = content(tree)
    assert code(lambda: set_up(System(tree), answers)) == expected
    assert content(tree) == before
    assert not (tree / "var/lib/birthmark-agent").exists()


def test_another_root_or_map_is_replaced_only_when_that_was_agreed_to(
    tree: Path, answers: Answers, tmp_path: Path
) -> None:
    set_up(System(tree), answers)
    before = content(tree)
    (tmp_path / "other.pem").write_bytes(chain_of_trust().root.public_bytes(Encoding.PEM))
    (tmp_path / "other.map").write_bytes(a_map(2))
    for other in (replace(answers, root=tmp_path / "other.pem"), replace(answers, nuc_map=tmp_path / "other.map")):
        with pytest.raises(PermissionError, match="already"):
            set_up(System(tree), other)
        assert content(tree) == before
        assert set_up(System(tree), replace(other, replace=lambda _question: None)).changed
        before = content(tree)


def intermediate_of(authority: AuthorityChain, folder: Path) -> Path:
    path = folder / f"intermediate-{authority.intermediate.serial_number}.pem"
    path.write_bytes(authority.intermediate.public_bytes(Encoding.PEM))
    return path


def settings_of(tree: Path) -> list[str]:
    lines = (tree / "etc/default/birthmark-agent").read_text().splitlines()
    return [line for line in lines if line.startswith("BIRTHMARK_INTERMEDIATE")]


INTERMEDIATE_SET = ["BIRTHMARK_INTERMEDIATE_CERTIFICATE=/etc/birthmark-agent/intermediate.pem"]


@pytest.mark.parametrize("later", [False, True])
def test_the_intermediate_is_installed_with_the_root_or_later(
    tree: Path, answers: Answers, ours: AuthorityChain, tmp_path: Path, later: bool
) -> None:
    with_it = replace(answers, intermediate=intermediate_of(ours, tmp_path))
    if later:
        set_up(System(tree), answers)
        with_it = replace(with_it, root=None)
    report = set_up(System(tree), with_it)
    assert outcomes(report)["Intermediate certificate"] is Outcome.DONE
    fingerprint = ours.intermediate.fingerprint(hashes.SHA256()).hex()
    assert any(fingerprint in step.text for step in report.steps)
    installed = tree / "etc/birthmark-agent/intermediate.pem"
    assert installed.read_bytes() == ours.intermediate.public_bytes(Encoding.PEM)
    assert stat.S_IMODE(installed.stat().st_mode) == 0o644
    assert settings_of(tree) == INTERMEDIATE_SET
    before = content(tree)
    for again in (with_it, replace(answers, root=None), answers):
        report = set_up(System(tree), again)
        assert (report.changed, content(tree)) == (False, before)
        assert outcomes(report)["Intermediate certificate"] is Outcome.ALREADY


def test_an_intermediate_of_another_root_is_refused_before_anything_is_changed(
    tree: Path, answers: Answers, tmp_path: Path
) -> None:
    foreign = replace(answers, intermediate=intermediate_of(chain_of_trust(), tmp_path))
    before = content(tree)
    assert code(lambda: set_up(System(tree), foreign)) == "trust.intermediate-not-one"
    assert content(tree) == before
    set_up(System(tree), answers)
    before = content(tree)
    assert code(lambda: set_up(System(tree), replace(foreign, root=None))) == "trust.intermediate-not-one"
    assert content(tree) == before


def test_another_intermediate_is_replaced_only_when_that_was_agreed_to(
    tree: Path, answers: Answers, ours: AuthorityChain, tmp_path: Path
) -> None:
    set_up(System(tree), replace(answers, intermediate=intermediate_of(ours, tmp_path)))
    before = content(tree)
    other = chain_of_trust(under=ours, usages=None)
    changed = replace(answers, intermediate=intermediate_of(other, tmp_path))
    with pytest.raises(PermissionError, match="Another intermediate certificate"):
        set_up(System(tree), changed)
    assert content(tree) == before
    set_up(System(tree), replace(changed, replace=lambda _question: None))
    installed = tree / "etc/birthmark-agent/intermediate.pem"
    assert installed.read_bytes() == other.intermediate.public_bytes(Encoding.PEM)


@pytest.mark.parametrize("cut", [False, True])
def test_the_intermediate_goes_when_another_root_comes(
    tree: Path, answers: Answers, ours: AuthorityChain, tmp_path: Path, cut: bool
) -> None:
    """Also where the first try was cut off between the two."""
    set_up(System(tree), replace(answers, intermediate=intermediate_of(ours, tmp_path)))
    other = chain_of_trust()
    (tmp_path / "other.pem").write_bytes(other.root.public_bytes(Encoding.PEM))
    if cut:
        (tree / "etc/birthmark-agent/root.pem").write_bytes((tmp_path / "other.pem").read_bytes())
    agreed = replace(answers, root=tmp_path / "other.pem", replace=lambda _question: None)
    report = set_up(System(tree), agreed)
    [step] = [step for step in report.steps if step.what == "Intermediate certificate"]
    assert (step.outcome, settings_of(tree)) == (Outcome.DONE, [])
    assert "no longer trusted" in step.text
    assert not set_up(System(tree), agreed).changed
    both = replace(agreed, intermediate=intermediate_of(other, tmp_path))
    assert outcomes(set_up(System(tree), both))["Intermediate certificate"] is Outcome.DONE
    assert settings_of(tree) == INTERMEDIATE_SET


@pytest.mark.parametrize("name", ["identity", "kept-nuc-map"])
def test_a_map_that_is_sealed_already_is_not_asked_for_again(tree: Path, answers: Answers, name: str) -> None:
    state = tree / "var/lib/birthmark-agent"
    state.mkdir(mode=0o700)
    (state / name).symlink_to("/nowhere")
    report = set_up(System(tree), answers)
    assert outcomes(report)["NUC map"] is Outcome.ALREADY
    assert "reset --forget-nuc-map" in next(step.text for step in report.steps if step.what == "NUC map")
    assert not (state / "nuc.map").exists()
    assert not any("capture" in text for text in set_up(System(tree), replace(answers, nuc_map=None)).next)


def test_no_link_is_written_through(tree: Path, answers: Answers, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"not ours")
    config = tree / "boot/firmware/config.txt"
    config.unlink()
    config.symlink_to(outside)
    assert code(lambda: set_up(System(tree), answers)) == "setup.file-unfit"
    config.unlink()
    config.write_bytes(CONFIG)
    state = tree / "var/lib/birthmark-agent"
    state.mkdir(mode=0o700)
    (state / "nuc.map").symlink_to(outside)
    assert code(lambda: set_up(System(tree), answers)) == "setup.file-unfit"
    (state / "nuc.map").unlink()
    (state / ".nuc.map.new").symlink_to(outside)
    set_up(System(tree), answers)
    assert (state / "nuc.map").read_bytes() == a_map()
    assert outside.read_bytes() == b"not ours"
    assert sorted(path.name for path in state.iterdir()) == ["nuc.map"]


@pytest.mark.parametrize("name", ["boot/firmware", "etc/default", "var/lib", "var/lib/birthmark-agent"])
def test_no_directory_leads_out_of_the_prefix(tree: Path, answers: Answers, tmp_path: Path, name: str) -> None:
    there, elsewhere = tree / name, tmp_path / "elsewhere"
    if there.exists():
        there.rename(elsewhere)
    else:
        elsewhere.mkdir()
    there.symlink_to(elsewhere)
    before = content(elsewhere)
    assert code(lambda: set_up(System(tree), answers)) == "setup.outside"
    assert content(elsewhere) == before


def test_odd_files_in_place_of_config_txt_are_refused(tree: Path, answers: Answers) -> None:
    config = tree / "boot/firmware/config.txt"
    config.write_bytes(b"#" * 300_000)
    assert code(lambda: set_up(System(tree), answers)) == "setup.file-unfit"
    config.unlink()
    os.mkfifo(config)
    assert code(lambda: set_up(System(tree), answers)) == "setup.file-unfit"
    config.unlink()
    config.mkdir()
    assert code(lambda: set_up(System(tree), answers)) == "setup.file-unfit"


def test_config_txt_is_found_in_both_places_and_reported_if_in_neither(tree: Path, answers: Answers) -> None:
    new, old = tree / "boot/firmware/config.txt", tree / "boot/config.txt"
    new.rename(old)
    set_up(System(tree), answers)
    assert b"dtoverlay=tpm-slb9670" in old.read_bytes()
    old.unlink()
    assert code(lambda: set_up(System(tree), answers)) == "setup.config-missing"
    other = PurePosixPath("/boot/other.txt")
    assert code(lambda: set_up(System(tree), replace(answers, config_txt=other))) == "setup.config-missing"
    none = set_up(System(tree), replace(answers, usb_overlay=False, tpm_overlay=None))
    assert outcomes(none)["Boot settings"] is Outcome.LEFT_OUT


def test_a_system_without_the_package_has_its_own_error(tree: Path, answers: Answers) -> None:
    (tree / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n")
    assert code(lambda: set_up(System(tree), answers)) == "setup.no-service-user"


def test_a_root_that_is_set_but_not_there_is_not_known(tree: Path, answers: Answers) -> None:
    set_up(System(tree), answers)
    assert root_known(System(tree))
    (tree / "etc/birthmark-agent/root.pem").unlink()
    assert not root_known(System(tree))
    assert outcomes(set_up(System(tree), answers))["Root certificate"] is Outcome.DONE


class RunningPi(System):
    """A tree that stands for the running system, with or without the devices that a restart adds."""

    live = True
    devices = False

    def has_tpm(self) -> bool:
        return self.devices

    def has_usb_device(self) -> bool:
        return self.devices

    def restart_agent(self) -> bool:
        return True

    def as_owner_of_state(self) -> AbstractContextManager[None]:
        """Its user is not one of this machine's; tests/adversary/test_service_user.py has real ones."""
        return nullcontext()


def test_a_restart_is_needed_until_the_devices_are_there(tree: Path, answers: Answers) -> None:
    pi = RunningPi(tree)
    first = set_up(pi, answers)
    assert first.restart_needed
    assert outcomes(first)["Service"] is Outcome.DONE
    assert any("`sudo reboot`" in text for text in first.next)
    again = set_up(pi, answers)
    assert (again.changed, again.restart_needed) == (False, True)
    assert "hat's seat" in next(step.text for step in again.steps if step.what == "TPM")
    nothing = set_up(pi, replace(answers, usb_overlay=False, tpm_overlay=None))
    assert not nothing.restart_needed
