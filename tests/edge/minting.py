"""Certificates made for tests, as a public authority would make them."""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FROM = datetime(2026, 1, 1, tzinfo=UTC)
UNTIL = datetime(2036, 1, 1, tzinfo=UTC)


class Authority:
    """One that certifies names, or further authorities below it."""

    def __init__(self, name: str, above: Authority | None = None) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._above = above
        signer = above or self
        usage = x509.KeyUsage(
            digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
            key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        self.certificate = (
            signer.builder(self._name, self._key.public_key(), FROM, UNTIL)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(signer._key, hashes.SHA256())
        )

    def builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, since: datetime, until: datetime) -> x509.CertificateBuilder:
        """A certificate of this authority's, to be completed and signed."""
        own = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(since)
            .not_valid_after(until)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(own), critical=False)
        )

    def chain(self, *names: str, until: datetime = UNTIL) -> bytes:
        """A new certificate for these names, and what is between it and the root, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (
            self.builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])]), key.public_key(), FROM, until)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        between = [] if self._above is None else [self.certificate]
        return b"".join(one.public_bytes(Encoding.PEM) for one in (leaf, *between))

    def pem(self) -> bytes:
        """Its own certificate: the anchor."""
        return self.certificate.public_bytes(Encoding.PEM)
