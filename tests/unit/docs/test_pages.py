"""Files, headings, error codes, pictures and the workflow that the documentation names exist."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.errors.catalogue import CATALOGUE
from shared.protocol.states import STEPS
from station.cli.data_directory import SERVICE_DATA_DIR
from tests.harness.checkout import ROOT, git

PAGES = sorted(name for name in git(ROOT, "ls-files", "*.md").splitlines() if (ROOT / name).is_file())
PICTURES = ROOT / "docs" / "pictures"
PICTURE_BYTES = 256 * 1024


def links(page: str) -> Iterator[str]:
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)
    yield from re.findall(r"\b(?:src|srcset)=\"([^\"]+)\"", text)


def anchors(page: Path) -> set[str]:
    """Return a page's headings as a forge makes anchors of them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for link in links(page):
        if link.startswith("https:"):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_page_of_docs_is_found_from_the_readme() -> None:
    assert {"README.md", "docs/architecture.md"} <= set(PAGES)
    reached, ahead = set(), ["README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        for link in links(page):
            target = (ROOT / page).parent / link.partition("#")[0]
            if target.is_dir():
                ahead += [str(path.relative_to(ROOT)) for path in target.resolve().glob("*.md")]
            elif target.suffix == ".md":
                ahead.append(str(target.resolve().relative_to(ROOT)))
    assert {page for page in PAGES if not page.startswith("tests/")} <= reached


@pytest.mark.parametrize("page", PAGES)
def test_every_code_of_an_error_is_in_the_catalogue(page: str) -> None:
    areas = {code.partition(".")[0] for code in CATALOGUE}
    files = re.compile(r"\.(pem|key|map|txt|md|py|toml|json|conf|svg|png|service|timer|socket|sqlite|log|passphrase)$")
    for word in re.findall(r"`([a-z]+\.[a-z][a-z-]+)`", (ROOT / page).read_text(encoding="utf-8")):
        module = ROOT / "station" / f"{word.replace('.', '/')}.py"
        if word.partition(".")[0] in areas and not files.search(word) and not module.exists():
            assert word in CATALOGUE


def test_the_pictures_are_of_this_version_and_of_modest_size() -> None:
    shown = (PICTURES / "demo.svg").read_text(encoding="utf-8")
    assert set(re.findall(r"step \d of (\d)", shown)) == {str(STEPS)}, "run `make pictures`"
    assert "All is as it should be." in shown
    for path in PICTURES.iterdir():
        assert path.stat().st_size < PICTURE_BYTES, path
    for path in PICTURES.glob("*.png"):
        head = path.read_bytes()[:26]
        assert head[:8] == b"\x89PNG\r\n\x1a\n"
        width, _, _, colour_type = struct.unpack(">IIBB", head[16:26])
        assert (width >= 1000, colour_type) == (True, 3), f"{path} is not reduced to a palette"


def test_a_forge_runs_what_ci_runs() -> None:
    workflow: dict[Any, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    [job] = workflow["jobs"].values()
    assert job["container"]["image"] == "debian:12"
    steps = [step.get("run") or step["uses"] for step in job["steps"]]
    assert steps[-1] == "bash .ci/run"
    assert steps.index(next(step for step in steps if step.startswith("actions/checkout@"))) < len(steps) - 1
    assert (ROOT / ".ci/run").is_file()


def test_the_architecture_names_every_folder() -> None:
    told = (ROOT / "docs/architecture.md").read_text()
    rooms = {
        path.parent.relative_to(ROOT)
        for top in ("shared", "runtime", "device_agent", "station")
        for path in (ROOT / top).rglob("__init__.py")
    }
    missing = [str(room) for room in sorted(rooms) if room.parts[1:] and f"{room.name}/" not in told]
    assert not missing


def test_the_pages_and_the_service_mean_one_data_directory() -> None:
    service = (ROOT / "systemd" / "birthmark-station.service").read_text(encoding="utf-8")
    assert f"--data-dir {SERVICE_DATA_DIR} " in service
    named = {
        path.rstrip(".,")
        for page in PAGES
        for path in re.findall(r"/var/lib/birthmark-station[\w./-]*", (ROOT / page).read_text(encoding="utf-8"))
    }
    assert str(SERVICE_DATA_DIR) in named
    assert {path for path in named if not Path(path).is_relative_to(SERVICE_DATA_DIR)} == set()
