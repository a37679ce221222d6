"""An age file opens again, here and with `age`; a changed or hostile one does not, whatever it asks for."""

from __future__ import annotations

import io
import os
import pty
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization as encodings
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from pyrage import passphrase, x25519

from shared.errors import BirthmarkError
from station.setup.backup import age_file
from station.setup.backup.age_file import Identities, Passphrase, Recipients, decrypt, encrypt
from tests.harness.backup_files import IDENTITIES, IDENTITY_TEXT, RECIPIENT, RECIPIENTS, encrypted

PASSPHRASE = Passphrase("correct horse battery ⚡")
STRANGER = Identities((x25519.Identity.generate(),))
CHUNK = 64 * 1024


def opened(octets: bytes, key: Passphrase | Identities = IDENTITIES) -> bytes:
    target = io.BytesIO()
    decrypt(io.BytesIO(octets), target, key, lambda _done: None)
    return target.getvalue()


def refused(octets: bytes, key: Passphrase | Identities = IDENTITIES) -> BirthmarkError:
    with pytest.raises(BirthmarkError) as raised:
        opened(octets, key)
    return raised.value


@pytest.fixture(scope="module")
def under_passphrase() -> bytes:
    file = io.BytesIO()
    encrypt([b"a station", b"'s secrets"], file, PASSPHRASE)
    return file.getvalue()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_file_for_a_recipient_opens_again(size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    assert opened(encrypted(content)) == content


def test_a_file_opens_with_its_passphrase_only(under_passphrase: bytes) -> None:
    assert opened(under_passphrase, PASSPHRASE) == b"a station's secrets"
    assert refused(under_passphrase, Passphrase("correct horse batterz")).code == "backup.not-opened"


def test_a_file_opens_with_its_recipients_identity_only(under_passphrase: bytes) -> None:
    for octets, key, why in (
        (encrypted(b"x"), STRANGER, "No matching keys"),
        (encrypted(b"x"), PASSPHRASE, "made for recipients"),
        (under_passphrase, IDENTITIES, "made with a passphrase"),
    ):
        error = refused(octets, key)
        assert error.code == "backup.not-opened"
        assert why in str(error)


def test_no_byte_can_be_changed_or_left_out() -> None:
    whole = encrypted(b"a station's secrets" * 9)
    for at in range(len(whole)):
        for changed in (
            whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :],
            whole[:at] + bytes([whole[at] ^ 0x80]) + whole[at + 1 :],
            whole[:at] + whole[at + 1 :],
            whole[:at],
        ):
            assert refused(changed).code.startswith("backup.")


def test_a_file_cut_between_two_chunks_is_damaged_and_never_a_shorter_one() -> None:
    whole = encrypted(bytes(2 * CHUNK) + b"end")
    for cut in (len(b"end") + 16, len(b"end") + 16 + CHUNK + 16, 1):
        assert refused(whole[:-cut]).code == "backup.damaged"
    assert refused(whole + b"x").code == "backup.damaged"


def header(*stanzas: str) -> bytes:
    lines = [f"-> {stanza}\n{'A' * 43}\n" for stanza in stanzas]
    return ("age-encryption.org/v1\n" + "".join(lines) + f"--- {'A' * 43}\n").encode() + bytes(100)


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"{}\n",
        b"-----BEGIN AGE ENCRYPTED FILE-----\n",
        header(*["X25519 " + "A" * 43] * 2000),
        header("scrypt AAAAAAAAAAAAAAAAAAAAAA 22"),
        header("scrypt AAAAAAAAAAAAAAAAAAAAAA 63"),
        header("scrypt AAAAAAAAAAAAAAAAAAAAAA " + "9" * 5000),
        header("scrypt AAAAAAAAAAAAAAAAAAAAAA +9"),
        header("scrypt AAAAAAAAAAAAAAAAAAAAAA \N{SUPERSCRIPT TWO}"),
        header("scrypt AAAAAAAAAAAAAAAAAAAAAA"),
        header("scrypt"),
        header(*["scrypt AAAAAAAAAAAAAAAAAAAAAA 18"] * 50),
        header("scrypt AAAAAAAAAAAAAAAAAAAAAA 10", "X25519 " + "A" * 43),
    ],
)
def test_a_header_that_asks_for_too_much_is_refused_before_any_work(
    octets: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worked(*_: object) -> bytes:
        raise AssertionError

    monkeypatch.setattr(passphrase, "decrypt", worked)
    monkeypatch.setattr(pyrage, "decrypt_io", worked)
    assert refused(octets, PASSPHRASE).code == "backup.malformed"


def test_a_header_of_the_largest_number_of_recipients_is_read() -> None:
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
    lines = [
        key.public_key().public_bytes(encodings.Encoding.OpenSSH, encodings.PublicFormat.OpenSSH).decode()
        for key in keys
    ]
    file = io.BytesIO()
    encrypt([b"x"], file, Recipients.parse([*lines * 9, RECIPIENT, RECIPIENT]))
    assert opened(file.getvalue()) == b"x"
    for key in keys:
        assert opened(file.getvalue(), Identities.parse(openssh(key))) == b"x"
    with pytest.raises(BirthmarkError, match=r"backup\.recipient-unusable"):
        Recipients.parse([RECIPIENT] * 21)


def test_a_machine_that_looks_slow_for_a_moment_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = iter((12, 14, 19, 12, 12, 12, 12))

    def close(content: bytes, _text: str) -> bytes:
        return header(f"scrypt AAAAAAAAAAAAAAAAAAAAAA {next(factors)}") + content

    monkeypatch.setattr(passphrase, "encrypt", close)
    target = io.BytesIO()
    encrypt([b"x"], target, PASSPHRASE)
    assert b" 19\n" in target.getvalue()
    encrypt([b"x"], io.BytesIO(), PASSPHRASE)  # a machine that is slow
    assert list(factors) == [12]

    tried = 0

    def refuse(_content: bytes, _text: str) -> bytes:
        nonlocal tried
        tried += 1
        if tried % 3 == 2:
            return b"opened"
        raise pyrage.DecryptError("Excessive work parameter for passphrase.\nDecryption would take around 64 seconds.")

    monkeypatch.setattr(passphrase, "decrypt", refuse)
    assert opened(target.getvalue(), PASSPHRASE) == b"opened"
    monkeypatch.setattr(age_file, "_TRIES", 1)
    error = refused(target.getvalue(), PASSPHRASE)
    assert error.code == "backup.not-opened"
    assert "around 64 seconds" in str(error)


def test_what_is_too_large_for_a_passphrase_is_refused(
    under_passphrase: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(age_file, "PASSPHRASE_BYTES_MAX", 3 * CHUNK)

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1000)

    target = io.BytesIO()
    with pytest.raises(BirthmarkError, match=r"backup\.too-large"):
        encrypt(endless(), target, PASSPHRASE)
    assert target.getvalue() == b""
    assert refused(under_passphrase + bytes(3 * CHUNK + 400), PASSPHRASE).code == "backup.too-large"


def test_the_largest_for_a_passphrase_opens_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age_file, "PASSPHRASE_BYTES_MAX", 3 * CHUNK)
    target = io.BytesIO()
    encrypt([bytes(3 * CHUNK)], target, PASSPHRASE)
    assert opened(target.getvalue(), PASSPHRASE) == bytes(3 * CHUNK)


def test_for_recipients_no_more_than_a_few_chunks_are_held() -> None:
    """Whatever is read is soon written, both ways: memory does not grow with the file."""
    given, ahead = 0, [0]
    target = io.BytesIO()

    def content() -> Iterator[bytes]:
        nonlocal given
        for _ in range(64):
            given += CHUNK
            yield bytes(CHUNK)
            ahead.append(given - target.tell())

    encrypt(content(), target, RECIPIENTS)
    plain = io.BytesIO()
    decrypt(io.BytesIO(target.getvalue()), plain, IDENTITIES, lambda done: ahead.append(done - plain.tell()))
    assert len(plain.getvalue()) == given == 64 * CHUNK
    assert max(ahead) <= 4 * CHUNK


class Failing(io.BytesIO):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    def write(self, _data: object, /) -> int:
        raise self._error


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), BirthmarkError("data.missing")]
)
def test_what_the_source_and_the_target_raise_comes_through(error: BaseException) -> None:
    def content() -> Iterator[bytes]:
        yield bytes(CHUNK)
        raise error

    def interrupt(_done: int) -> None:
        raise error

    attempts: list[Callable[[], None]] = [
        lambda: encrypt(content(), io.BytesIO(), RECIPIENTS),
        lambda: encrypt([b"x"], Failing(error), RECIPIENTS),
        lambda: decrypt(io.BytesIO(encrypted(b"x")), Failing(error), IDENTITIES, lambda _: None),
        lambda: decrypt(io.BytesIO(encrypted(b"x")), io.BytesIO(), IDENTITIES, interrupt),
    ]
    for attempt in attempts:
        with pytest.raises(type(error)) as raised:
            attempt()
        assert raised.value is error


@pytest.mark.parametrize(
    "text",
    ["", "age1", RECIPIENT[:-1], "ssh-ed25519 AAAA", "age1yubikey1q", IDENTITY_TEXT, "\0"],
    ids=["empty", "a prefix", "cut", "ssh cut", "a plugin's", "an identity", "a NUL"],
)
def test_a_recipient_that_is_no_public_key_is_refused(text: str) -> None:
    with pytest.raises(BirthmarkError, match=r"backup\.recipient-unusable") as raised:
        Recipients.parse([text])
    assert IDENTITY_TEXT not in str(raised.value)


def openssh(
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None
) -> bytes:
    how = encodings.BestAvailableEncryption(password) if password else encodings.NoEncryption()
    return key.private_bytes(encodings.Encoding.PEM, encodings.PrivateFormat.OpenSSH, how)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# only a comment\n",
        b"\xff\n",
        IDENTITY_TEXT[:-1].encode(),
        f"{IDENTITY_TEXT}\nmore\n".encode(),
        openssh(ec.generate_private_key(ec.SECP256R1())),
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
    ],
    ids=["empty", "a comment", "no text", "cut", "two things", "ecdsa", "openssh cut"],
)
def test_an_identity_that_is_no_private_key_is_refused(content: bytes) -> None:
    with pytest.raises(BirthmarkError, match=r"backup\.identity-unusable") as raised:
        Identities.parse(content)
    assert IDENTITY_TEXT[:-1] not in str(raised.value)


def test_a_passphrase_is_text() -> None:
    with pytest.raises(BirthmarkError, match=r"UTF-8.*config\.invalid"):
        Passphrase("correct horse batter\udcff")


def test_no_secret_is_in_a_repr() -> None:
    assert PASSPHRASE.text not in repr(PASSPHRASE)
    assert "Identity" not in repr(IDENTITIES).replace("Identities", "")


# --- the program `age` ---


def run_age(*arguments: str | Path, stdin: bytes = b"") -> bytes:
    return subprocess.run(["age", *arguments], input=stdin, check=True, capture_output=True).stdout


def run_age_with_passphrase(*arguments: str | Path, times: int) -> None:
    """Answer the passphrase that age asks a terminal for."""
    ours, theirs = pty.openpty()
    command = ["setsid", "--ctty", "--wait", "age", *map(str, arguments)]
    age = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    with os.fdopen(ours, "r+b", buffering=0) as terminal, suppress(OSError):  # so Linux says that the other end closed
        while part := terminal.read(1000):
            said += part
            if times and said.rstrip().endswith(b":"):
                times, said = times - 1, b""
                terminal.write(PASSPHRASE.text.encode() + b"\n")
    assert age.wait() == 0, said


def test_age_opens_what_is_for_a_passphrase_and_the_other_way_round(tmp_path: Path, under_passphrase: bytes) -> None:
    ours, plain, theirs = tmp_path / "ours", tmp_path / "plain", tmp_path / "theirs"
    ours.write_bytes(under_passphrase)
    run_age_with_passphrase("-d", "-o", plain, ours, times=1)
    assert plain.read_bytes() == b"a station's secrets"
    run_age_with_passphrase("-p", "-o", theirs, plain, times=2)
    assert opened(theirs.read_bytes(), PASSPHRASE) == b"a station's secrets"


def test_age_opens_what_is_for_a_recipient_and_the_other_way_round(tmp_path: Path) -> None:
    generated = tmp_path / "age"
    subprocess.run(["age-keygen", "-o", generated], check=True, capture_output=True)
    public = subprocess.run(["age-keygen", "-y", generated], check=True, capture_output=True, text=True).stdout.strip()
    pairs = [(generated, public)]
    for name, key in (
        ("ed25519", ed25519.Ed25519PrivateKey.generate()),
        ("rsa", rsa.generate_private_key(65537, 2048)),
    ):
        (tmp_path / name).write_bytes(openssh(key))
        line = key.public_key().public_bytes(encodings.Encoding.OpenSSH, encodings.PublicFormat.OpenSSH)
        pairs.append((tmp_path / name, f"{line.decode()} somebody@somewhere\n"))
    file = io.BytesIO()
    encrypt([bytes(3 * CHUNK), b"end"], file, Recipients.parse([public for _, public in pairs]))
    for identity, public in pairs:
        assert run_age("-d", "-i", identity, stdin=file.getvalue()) == bytes(3 * CHUNK) + b"end"
        assert (
            opened(run_age("-r", public.strip(), stdin=b"theirs"), Identities.parse(identity.read_bytes())) == b"theirs"
        )
