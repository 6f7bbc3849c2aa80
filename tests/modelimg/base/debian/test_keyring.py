"""Whom a signature must be by, and which bytes it covers."""

from __future__ import annotations

import pysequoia
import pytest

from modelimg.base.debian import Keyring
from modelimg.errors import BaseError

TEXT = b"Codename: bookworm\nLabel: Debian\n"


@pytest.fixture(scope="module")
def key() -> pysequoia.Tsk:
    return pysequoia.Tsk.generate("somebody <a@b.example>")


@pytest.fixture(scope="module")
def keyring(key: pysequoia.Tsk) -> Keyring:
    return Keyring({"debian": (key.extract_certificate(),), "debian-security": ()})


@pytest.fixture(scope="module")
def signed(key: pysequoia.Tsk) -> bytes:
    return pysequoia.sign(key.signer(), TEXT, mode=pysequoia.SignatureMode.CLEAR)


def test_what_a_trusted_key_signed_is_returned(keyring: Keyring, signed: bytes) -> None:
    assert keyring.verified(signed, "debian", what="it") == TEXT


@pytest.mark.parametrize(
    "around", [b"%s\nCodename: evil\n", b"Codename: evil\n\n%s", b"Codename: evil\n%s\nCodename: evil\n"]
)
def test_text_around_the_signed_part_is_not_returned(keyring: Keyring, signed: bytes, around: bytes) -> None:
    assert keyring.verified(around % signed, "debian", what="it") == TEXT


def test_a_second_document_behind_the_signed_one_is_not_returned(keyring: Keyring, signed: bytes) -> None:
    other = pysequoia.sign(
        pysequoia.Tsk.generate("x").signer(), b"Codename: evil\n", mode=pysequoia.SignatureMode.CLEAR
    )
    assert keyring.verified(signed + other, "debian", what="it") == TEXT


def test_another_signed_document_in_front_is_refused(keyring: Keyring, signed: bytes) -> None:
    other = pysequoia.sign(
        pysequoia.Tsk.generate("x").signer(), b"Codename: evil\n", mode=pysequoia.SignatureMode.CLEAR
    )
    with pytest.raises(BaseError, match="does not verify"):
        keyring.verified(other + signed, "debian", what="it")


def test_every_altered_byte_of_the_text_is_noticed(keyring: Keyring, signed: bytes) -> None:
    start = signed.index(TEXT[:8])
    for position in range(start, start + len(TEXT) - 1):
        altered = bytearray(signed)
        altered[position] ^= 0x01
        with pytest.raises(BaseError, match="the signature of it does not verify"):
            keyring.verified(bytes(altered), "debian", what="it")


@pytest.mark.parametrize("document", [b"", TEXT, b"-----BEGIN PGP SIGNED MESSAGE-----\n", b"\x00\xff" * 50])
def test_a_document_without_a_signature_is_refused(keyring: Keyring, document: bytes) -> None:
    with pytest.raises(BaseError, match="the signature of it does not verify"):
        keyring.verified(document, "debian", what="it")


def test_a_truncated_document_is_refused(keyring: Keyring, signed: bytes) -> None:
    for length in range(0, len(signed) - 40, 37):
        with pytest.raises(BaseError, match="the signature of it does not verify"):
            keyring.verified(signed[:length], "debian", what="it")


def test_a_stranger_s_signature_is_refused(keyring: Keyring) -> None:
    signed = pysequoia.sign(pysequoia.Tsk.generate("x").signer(), TEXT, mode=pysequoia.SignatureMode.CLEAR)
    with pytest.raises(BaseError, match="no valid signatures") as caught:
        keyring.verified(signed, "debian", what="it")
    assert "another mirror" in str(caught.value)
    assert "backtrace" not in str(caught.value)


def test_one_archive_s_key_counts_for_nothing_in_the_other(keyring: Keyring, signed: bytes) -> None:
    with pytest.raises(BaseError, match="does not verify"):
        keyring.verified(signed, "debian-security", what="it")


def test_the_shipped_keys_are_those_that_debian_publishes() -> None:
    """Fingerprints as https://ftp-master.debian.org/keys.html lists them."""
    shipped = {
        archive: {certificate.fingerprint for certificate in certificates}
        for archive, certificates in Keyring.shipped().certificates.items()
    }
    assert shipped == {
        "debian": {
            "b8b80b5b623eab6ad8775c45b7c5d7d6350947f8",  # bookworm, automatic
            "4d64fec119c2029067d6e791f8d2585b8783d481",  # bookworm, stable
            "04b54c3cdca79751b16bc6b5225629df75b188bd",  # trixie, automatic
            "41587f7db8c774bccf131416762f67a0b2c39de4",  # trixie, stable
        },
        "debian-security": {
            "05ab90340c0c5e797f44a8c8254cf3b5aec0a8f0",  # bookworm
            "5e04a1e3223a19a20706e20f9904613d4cce68c6",  # trixie
        },
    }


def test_every_shipped_key_is_public_and_not_revoked() -> None:
    certificates = [c for trusted in Keyring.shipped().certificates.values() for c in trusted]
    assert [str(c).splitlines()[0] for c in certificates] == ["-----BEGIN PGP PUBLIC KEY BLOCK-----"] * 6
    assert not any(c.is_revoked for c in certificates)
