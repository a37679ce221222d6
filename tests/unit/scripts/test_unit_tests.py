"""What the chroot of the unit tests has."""

from __future__ import annotations

from scripts.unit_tests import APT_PACKAGES, NOT_FOR_UNIT_TESTS, wanted


def test_it_has_what_a_developer_has_and_cloud_init_but_no_browser() -> None:
    names = wanted(APT_PACKAGES.read_text())
    assert {"libtss2-dev", "python3-dev", "swtpm", "tpm2-tools", "cloud-init"} <= set(names)
    assert "chromium" not in names


def test_what_is_left_out_is_in_the_list() -> None:
    assert set(APT_PACKAGES.read_text().split()) >= NOT_FOR_UNIT_TESTS
