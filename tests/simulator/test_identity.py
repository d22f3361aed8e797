"""What simulated PSPs sign webhooks with: a certificate that a verifier of others follows up to its authority, kept over restarts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from payorch import simulator_identity
from payorch.simulator_identity import FILE, NAMES, kept, mint

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def verify(certificates: bytes, anchor: str, name: str, at: datetime) -> None:
    own, *above = x509.load_pem_x509_certificates(certificates)
    store = Store(x509.load_pem_x509_certificates(anchor.encode()))
    PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(name)).verify(own, above)


@pytest.mark.parametrize("name", NAMES)
def test_the_chain_is_followed_to_the_authority(name: str) -> None:
    identity = mint(NOW)
    verify(identity.certificates, identity.anchor, name, NOW)
    with pytest.raises(VerificationError):
        verify(identity.certificates, identity.anchor, "example.com", NOW)
    with pytest.raises(VerificationError):
        verify(identity.certificates, mint(NOW).anchor, name, NOW)
    with pytest.raises(VerificationError):
        verify(identity.certificates, identity.anchor, name, NOW + timedelta(days=4000))


def test_a_folder_keeps_its_identity_and_keeps_it_to_itself(tmp_path: Path) -> None:
    first = kept(tmp_path, NOW)
    assert kept(tmp_path, NOW + timedelta(days=30)) == first
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert "PRIVATE" not in repr(first)


@pytest.mark.parametrize("text", [b"", b"-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n", b"\xff\x00"])
def test_what_cannot_be_used_is_made_anew(tmp_path: Path, text: bytes) -> None:
    (tmp_path / FILE).write_bytes(text)
    made = kept(tmp_path, NOW)
    assert kept(tmp_path, NOW) == made
    later = kept(tmp_path, NOW + timedelta(days=3650))
    assert later.certificates != made.certificates


def test_without_a_folder_nothing_is_kept() -> None:
    assert simulator_identity.kept(None, NOW).key != simulator_identity.kept(None, NOW).key
