"""/etc/default/birthmark-agent: one setting set or taken out, the rest as it was."""

from pathlib import Path, PurePosixPath

import pytest

from device_agent.setup.settings import setting, with_setting, without_setting

NAME, VALUE = "BIRTHMARK_ROOT_CERTIFICATE", PurePosixPath("/etc/birthmark-agent/root.pem")
LINE = f"{NAME}={VALUE}"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", LINE + "\n"),
        ("A=1", f"A=1\n{LINE}\n"),
        (f"# why\n#{NAME}=/x\nB=2\n", f"# why\n{LINE}\nB=2\n"),
        (f"{NAME}=/old\n#{NAME}=/x\n", f"{LINE}\n#{NAME}=/x\n"),
        (f"{NAME}=/one\n{NAME}=/two\n", f"{NAME}=/one\n{LINE}\n"),
        (f'{NAME}="{VALUE}"', f'{NAME}="{VALUE}"'),
        (f"X{NAME}=/x\n", f"X{NAME}=/x\n{LINE}\n"),
    ],
)
def test_a_setting_is_set_once_and_in_its_place(before: str, after: str) -> None:
    assert with_setting(before, NAME, VALUE) == after
    assert with_setting(after, NAME, VALUE) == after
    assert setting(after, NAME) == str(VALUE)


def test_it_is_taken_out_wherever_it_is_set() -> None:
    before = f"A=1\n{LINE}\n  {NAME} = /x\n#{NAME}=/y\nX{NAME}=/z\n"
    after = without_setting(before, NAME)
    assert after == f"A=1\n#{LINE}\n#{NAME} = /x\n#{NAME}=/y\nX{NAME}=/z\n"
    assert setting(after, NAME) == ""
    assert without_setting(after, NAME) == after


def test_the_packages_own_file_can_be_set() -> None:
    packaged = Path(__file__).parents[4] / "packaging" / "debian" / "birthmark-agent.default"
    before = packaged.read_text()
    assert setting(before, NAME) == ""
    assert with_setting(before, NAME, VALUE) == before.replace("#" + LINE, LINE)
    intermediate = "BIRTHMARK_INTERMEDIATE_CERTIFICATE=/etc/birthmark-agent/intermediate.pem"
    name, _, value = intermediate.partition("=")
    assert "#" + intermediate in before
    assert with_setting(before, name, PurePosixPath(value)) == before.replace("#" + intermediate, intermediate)
