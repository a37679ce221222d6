"""A packed corpus loses nothing, keeps its order, and keeps what broke a target forever."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import __main__ as fuzzing
from tests.fuzz import corpus_file
from tests.fuzz.corpus_file import REACHED, Kept, pack, read_corpus, unpack, write_corpus

BROKE = Kept("crash-0123", b"\xff\0\n")


@given(st.lists(st.builds(Kept, st.sampled_from([REACHED, "crash-1", "timeout-2"]), st.binary(max_size=40))))
def test_packed_inputs_are_read_once_and_in_one_order(
    tmp_path_factory: pytest.TempPathFactory, inputs: list[Kept]
) -> None:
    one, other = (tmp_path_factory.getbasetemp() / name for name in ("one.txt", "other.txt"))
    write_corpus(one, inputs)
    write_corpus(other, [*reversed(inputs), *inputs])
    assert sorted(read_corpus(one)) == sorted(set(inputs))
    assert one.read_bytes() == other.read_bytes()


def test_one_more_input_is_one_more_line(tmp_path: Path) -> None:
    path = tmp_path / "some.txt"
    write_corpus(path, [BROKE, Kept(REACHED, b""), Kept(REACHED, b"b" * 3000)])
    before = path.read_text().splitlines()
    write_corpus(path, [*read_corpus(path), Kept(REACHED, b"a")])
    after = path.read_text().splitlines()
    assert len(before) == 3
    assert [line for line in after if line not in before] == ["reached YQ=="]
    assert [line for line in after if line in before] == before


@pytest.mark.parametrize("line", ["reached", "", "reached YQ=", "reached Y!==", " YQ=="])
def test_an_invalid_line_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "some.txt"
    path.write_text(f"reached YQ==\n{line}\n")
    with pytest.raises(ValueError, match=r"some\.txt:2: "):
        read_corpus(path)


def test_unpacked_inputs_are_files_named_by_their_sha_1(tmp_path: Path) -> None:
    unpack([Kept(REACHED, b"abc"), BROKE], tmp_path / "begin")
    files = {path.name: path.read_bytes() for path in (tmp_path / "begin").iterdir()}
    assert files["a9993e364706816aba3e25717850c26c9cd0d89d"] == b"abc"
    assert sorted(files.values()) == sorted([b"abc", BROKE.octets])
    assert {kept.octets for kept in pack(tmp_path / "begin", REACHED)} == {b"abc", BROKE.octets}


class Fuzzer:
    """Replaces libFuzzer: records its seeds, breaks a target, or keeps the inputs that begin with `k`."""

    def __init__(self) -> None:
        self.began_from: set[bytes] = set()

    def __call__(self, target: str, log: Path, directories: list[Path], *flags: str) -> None:
        self.began_from = {path.read_bytes() for folder in directories for path in folder.iterdir()}
        log.write_text("#7 cov: 3 ft: 9 corp: 2\nstat::number_of_executed_units: 7\n")
        for flag in flags:
            if flag.startswith("-artifact_prefix="):
                Path(flag.removeprefix("-artifact_prefix=") + "crash-9").write_bytes(b"breaks it")
            if flag == "-merge=1":
                unpack((Kept(REACHED, one) for one in self.began_from if one.startswith(b"k")), directories[0])


@pytest.fixture
def fuzzer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fuzzer:
    fuzzer = Fuzzer()
    (tmp_path / "corpus").mkdir()
    monkeypatch.setattr(corpus_file, "CORPUS", tmp_path / "corpus")
    monkeypatch.setattr(fuzzing, "WORK", tmp_path / "work")
    monkeypatch.setattr(fuzzing, "SEEDS", {"some": lambda: [b"a seed"]})
    monkeypatch.setattr(fuzzing, "_libfuzzer", fuzzer)
    return fuzzer


def test_a_run_begins_from_seeds_and_corpus_and_keeps_what_broke_the_target(fuzzer: Fuzzer) -> None:
    path = corpus_file.corpus_file("some")
    write_corpus(path, [Kept(REACHED, b"known"), BROKE])
    ran = fuzzing.fuzz("some", 1)
    assert fuzzer.began_from == {b"a seed", b"known", BROKE.octets}
    assert (ran.tried, ran.reached) == (7, 9)
    assert [path.read_bytes() for path in ran.broke] == [b"breaks it"]
    assert set(read_corpus(path)) == {Kept(REACHED, b"known"), BROKE, Kept("crash-9", b"breaks it")}


def test_a_target_without_a_corpus_gets_one(fuzzer: Fuzzer) -> None:
    fuzzing.fuzz("some", 1)
    assert read_corpus(corpus_file.corpus_file("some")) == [Kept("crash-9", b"breaks it")]


def test_distilling_replaces_what_was_reached_and_keeps_what_broke_the_target(fuzzer: Fuzzer) -> None:
    path = corpus_file.corpus_file("some")
    write_corpus(path, [Kept(REACHED, b"known"), Kept(REACHED, b"superfluous"), BROKE])
    unpack([Kept(REACHED, b"k new")], fuzzing.WORK / "some")
    assert fuzzing.keep("some") == 3
    assert fuzzer.began_from == {b"known", b"superfluous", BROKE.octets, b"k new"}
    assert set(read_corpus(path)) == {Kept(REACHED, b"known"), Kept(REACHED, b"k new"), BROKE}
