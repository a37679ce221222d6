"""The recipes for images, by their tools' own linters where this machine has them, by their rules, and run on a tree.

rpi-image-gen's rules are those of its site/metadata_parser.py and site/validators.py, slot-shared.d's those of its
slot-shared-generator. The commands of the recipes run in earnest, in place of `chroot` on a tree beside this system.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.serialization import Encoding

from tests.harness.certificates import chain_of_trust

ROOT = Path(__file__).parents[3]
IMAGES = ROOT / "images"
STAGE = IMAGES / "pi-gen/stage-birthmark"
LAYER = IMAGES / "rpi-image-gen/layer/birthmark-agent.yaml"
SHARED = ROOT / "packaging/rpi-image-gen/birthmark-agent.conf"
STOCK = b"[cm4]\notg_mode=1\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n[all]\n"
LAYER_FIELDS = {"Name", "Desc", "Version", "Category", "Requires"}
VARIABLE_FIELDS = {"", "Desc", "Required", "Valid", "Set"}


@pytest.fixture
def rootfs(tmp_path: Path) -> Path:
    """A tree with what the commands look at: config.txt, the service's user, settings."""
    tree = tmp_path / "rootfs"
    for path, data in {
        "boot/firmware/config.txt": STOCK,
        "etc/passwd": f"birthmark-agent:x:{os.getuid()}:{os.getgid()}::/var/lib/birthmark-agent:/bin/false\n".encode(),
        "etc/default/birthmark-agent": b"",
    }.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    (tree / "var/lib").mkdir(parents=True)
    (tree / "tmp").mkdir()
    return tree


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """The folder with the two files that an integrator adds."""
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "birthmark-agent.deb").write_bytes(b"a package")
    (folder / "root.pem").write_bytes(chain_of_trust().root.public_bytes(Encoding.PEM))
    return folder


def in_tree(folder: Path, rootfs: Path, name: str, before: str) -> Path:
    """Make a command `name` that does to `rootfs` what the real one does in it: the agent's in earnest, apt's noted.

    `before` is shell that leaves the words of the command in `"$@"`.
    """
    command = folder / "bin" / name
    command.parent.mkdir(exist_ok=True)
    agent = f"{sys.executable} -m device_agent"
    command.write_text(f"""#!/bin/bash -e
{before}
case "$1" in
    birthmark-agent)
        shift; words=()
        for word; do case "$word" in /tmp/*) word="{rootfs}$word";; esac; words+=("$word"); done
        cd {ROOT}; exec {agent} "${{words[0]}}" --prefix "{rootfs}" "${{words[@]:1}}" ;;
    apt-get) echo "$@" >> "{rootfs}/asked-of-apt"; test -e "{rootfs}${{@: -1}}" ;;
    *) echo "unexpected: $*" >&2; exit 1 ;;
esac
""")
    command.chmod(0o755)
    return command.parent


def assert_set_up(rootfs: Path) -> None:
    """What both recipes must leave in an image."""
    config = (rootfs / "boot/firmware/config.txt").read_bytes()
    assert config.endswith(b"[all]\ndtoverlay=dwc2\ndtparam=dr_mode=peripheral\ndtoverlay=tpm-slb9670\n")
    assert b"\n#otg_mode=1\n" in config
    assert (rootfs / "etc/birthmark-agent/root.pem").is_file()
    assert "ROOT_CERTIFICATE=/etc/birthmark-agent/root.pem" in (rootfs / "etc/default/birthmark-agent").read_text()
    assert (rootfs / "var/lib/birthmark-agent").is_dir()
    assert list((rootfs / "tmp").iterdir()) == []


# --- rpi-image-gen ---


def metadata(layer: Path) -> dict[str, str]:
    """Return the X-Env fields, read as the tool does: lines between the marks, continued by a further space."""
    block = layer.read_text().partition("# METABEGIN\n")[2].partition("# METAEND\n")[0]
    fields: dict[str, str] = {}
    name = ""
    for line in block.splitlines():
        assert line == "#" or line.startswith("# "), line
        text = line[2:]
        if text.startswith(" "):
            assert name, "a continuation needs a field"
            fields[name] += text
        elif text:
            name, colon, value = text.partition(":")
            assert colon
            assert re.fullmatch(r"X-Env-[A-Za-z0-9_-]+", name)
            assert name not in fields
            fields[name] = value.strip()
    return fields


def test_the_layer_has_a_header_of_fields_that_the_tool_knows() -> None:
    fields = metadata(LAYER)
    assert fields.pop("X-Env-VarPrefix") == "birthmark"
    assert re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2}", fields["X-Env-Layer-Version"])
    variables: dict[str, dict[str, str]] = {}
    for name, value in fields.items():
        if kind := re.fullmatch(r"X-Env-Layer-(\w+)", name):
            assert kind[1] in LAYER_FIELDS
            assert value
        else:
            one = re.fullmatch(r"X-Env-Var-([a-z0-9_]+)(?:-(\w+))?", name)
            assert one is not None, name
            assert (one[2] or "") in VARIABLE_FIELDS
            variables.setdefault(one[1], {})[one[2] or ""] = value
    assert set(variables) == {"root_certificate", "tpm_overlay"}
    for variable in variables.values():
        assert set(variable) == VARIABLE_FIELDS
        rule = variable["Valid"]
        assert rule == "string" or re.compile(rule.removeprefix("regex:")).fullmatch(variable[""])
    assert metadata(LAYER)["X-Env-Layer-Name"] == LAYER.stem


def test_the_config_names_the_layer_the_package_and_every_variable_without_a_default() -> None:
    config: dict[str, Any] = yaml.safe_load((IMAGES / "rpi-image-gen/config/birthmark.yaml").read_text())
    assert config["layer"]["app"] == metadata(LAYER)["X-Env-Layer-Name"]
    assert config["packages"] == ["pkgs/birthmark-agent.deb"]
    needed = {name.removeprefix("X-Env-Var-") for name, value in metadata(LAYER).items() if not value}
    assert needed == set(config["birthmark"]) == {"root_certificate"}


def test_the_layers_hook_sets_the_image_up(rootfs: Path, given: Path) -> None:
    layer = yaml.safe_load(LAYER.read_text())
    assert set(layer["mmdebstrap"]) == {"cleanup-hooks"}  # packages: are installed while the image is customized
    [hook] = layer["mmdebstrap"]["cleanup-hooks"]
    tools = in_tree(given, rootfs, "chroot", f'test "$1" = "{rootfs}"; shift')
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "IGconf_birthmark_root_certificate": str(given / "root.pem"),
        "IGconf_birthmark_tpm_overlay": "tpm-slb9670",
    }
    subprocess.run(["sh", "-c", hook, "sh", str(rootfs)], check=True, env=environment, timeout=120)
    assert_set_up(rootfs)


def test_slots_share_the_state_directory_in_the_generators_format() -> None:
    lines = [line for line in SHARED.read_text().splitlines() if line and not line.startswith("#")]
    assert lines == ["Version=1", "Path=/var/lib/birthmark-agent"]
    assert (
        "packaging/rpi-image-gen/birthmark-agent.conf etc/rpi-image-gen/slot-shared.d\n"
        in (ROOT / "packaging/debian/birthmark-agent.install").read_text()
    )


# --- pi-gen ---


def test_the_stage_copies_the_one_before_and_exports_an_image(tmp_path: Path) -> None:
    for script in STAGE.glob("**/*.sh"):
        assert os.access(script, os.X_OK), "pi-gen passes over a script that is not executable"
        subprocess.run(["bash", "-n", str(script)], check=True)
    said = subprocess.run(
        ["bash", "-ec", f'source {STAGE}/EXPORT_IMAGE; echo "$IMG_SUFFIX"'], check=True, capture_output=True, text=True
    )
    assert said.stdout == "-birthmark\n"
    copies = f"copy_previous() {{ echo copied; }}; export -f copy_previous; {STAGE}/prerun.sh"
    for there, copied in ((False, "copied\n"), (True, "")):
        tree = tmp_path / "rootfs"
        if there:
            tree.mkdir()
        ran = subprocess.run(
            ["bash", "-ec", copies],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "ROOTFS_DIR": str(tree)},
        )
        assert ran.stdout == copied


def test_the_stage_installs_the_package_and_sets_the_image_up(rootfs: Path, given: Path) -> None:
    stage = given / "00-agent"
    shutil.copytree(STAGE / "00-agent", stage)
    (stage / "files").mkdir()
    for name in ("birthmark-agent.deb", "root.pem"):
        shutil.copy(given / name, stage / "files")
    tools = in_tree(given, rootfs, "one-command", "")
    chroot = tools / "on_chroot"
    chroot.write_text('#!/bin/bash -e\nwhile read -r line; do set -- $line; one-command "$@" </dev/null; done\n')
    chroot.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "ROOTFS_DIR": str(rootfs)}
    subprocess.run(["./00-run.sh"], check=True, cwd=stage, env=environment, timeout=120)
    assert (rootfs / "asked-of-apt").read_text() == "apt-get install -y /tmp/birthmark/birthmark-agent.deb\n"
    assert_set_up(rootfs)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="Debian's package shellcheck is not installed")
def test_shellcheck_finds_nothing_in_the_stage() -> None:
    subprocess.run(["shellcheck", "-x", *map(str, STAGE.glob("**/*.sh"))], check=True)


# --- cloud-init ---


@pytest.mark.skipif(shutil.which("cloud-init") is None, reason="Debian's package cloud-init is not installed")
def test_cloud_inits_schema_finds_nothing_in_the_user_data() -> None:
    data = IMAGES / "cloud-init/user-data"
    said = subprocess.run(
        ["cloud-init", "schema", "--config-file", str(data)], capture_output=True, text=True, check=True
    )
    assert "Valid" in said.stdout


def test_the_user_data_is_lists_of_words_for_files_on_the_boot_partition() -> None:
    text = (IMAGES / "cloud-init/user-data").read_text()
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    assert data["power_state"]["mode"] == "reboot"
    apt, setup, remove = data["runcmd"]
    assert apt == ["apt-get", "install", "--yes", "/boot/firmware/birthmark-agent.deb"]
    assert setup[:2] == ["birthmark-agent", "setup"]
    assert remove == ["rm", apt[-1]]
    asked = subprocess.run(
        [sys.executable, "-m", "device_agent", *setup[1:], "--help"], capture_output=True, cwd=ROOT, timeout=60
    )
    assert asked.returncode == 0
