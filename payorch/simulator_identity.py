"""The key and certificate that simulated PSPs sign their webhooks with, where the real ones sign so, and the authority that vouches for it.

Made once for a data folder and kept in it, so that a restarted simulator signs as before. The authority's own key is thrown away: nobody
can have another certificate of it. Its certificate is what the platform beside the simulators has to trust, and nobody else should.

Not for production. Not here: signing (each dialect), checking (the platform's edge).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from payorch.folders import write_private

FILE: Final = "simulators.signing.pem"
ANCHOR: Final = "simulators.authority.pem"
"""The authority's certificate alone: the file of trust anchors for the platform beside the simulators."""
NAMES: Final = ("localhost", "simulators.localhost")
"""Whom the certificate is for, beside the loopback address itself."""
_ADDRESS: Final = "127.0.0.1"
_LIFE: Final = timedelta(days=3650)
_SLACK: Final = timedelta(days=1)  # for a clock that is set back
_KEY_BITS: Final = 2048

_PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningIdentity:
    """All of it is PEM. `certificates`: the one of the key, and then the authority's; `anchor`: the authority's alone."""

    key: bytes = field(repr=False)
    certificates: bytes

    @property
    def anchor(self) -> str:
        """What has to be trusted for a signature to be believed."""
        return x509.load_pem_x509_certificates(self.certificates)[-1].public_bytes(Encoding.PEM).decode()


def kept(folder: Path | None, now: datetime) -> SigningIdentity:
    """The one of that folder, made anew where there is none that can still be used; without a folder it lives as long as its user."""
    if folder is None:
        return mint(now)
    file = folder / FILE
    found = _read(file, now)
    if found is None:
        found = mint(now)
        write_private(file, (found.key + found.certificates).decode())
    if not (folder / ANCHOR).is_file() or (folder / ANCHOR).read_text(encoding="utf-8") != found.anchor:
        write_private(folder / ANCHOR, found.anchor)
    return found


def mint(now: datetime) -> SigningIdentity:
    """A new key with a certificate from a new authority."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
    issuer = _name("payorch simulated PSPs: authority")
    above = (
        _certificate(issuer, issuer, authority.public_key(), authority.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority, hashes.SHA256())
    )
    names = [*map(x509.DNSName, NAMES), x509.IPAddress(ip_address(_ADDRESS))]
    own = (
        _certificate(_name("payorch simulated PSPs: webhooks"), issuer, key.public_key(), authority.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(authority, hashes.SHA256())
    )
    return SigningIdentity(
        key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        certificates=own.public_bytes(Encoding.PEM) + above.public_bytes(Encoding.PEM),
    )


def _read(file: Path, now: datetime) -> SigningIdentity | None:
    try:
        text = file.read_bytes()
        load_pem_private_key(text, password=None)
        own, above = x509.load_pem_x509_certificates(text)
    except (OSError, ValueError):
        return None
    if not own.not_valid_before_utc <= now < own.not_valid_after_utc - _SLACK:
        return None
    start = text.index(b"-----BEGIN CERTIFICATE-----")
    return SigningIdentity(key=text[:start], certificates=own.public_bytes(Encoding.PEM) + above.public_bytes(Encoding.PEM))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: _PublicKey, authority: _PublicKey, now: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
