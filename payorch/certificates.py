"""Certificates that PSPs sign webhooks with: fetched from where a delivery says they are, if that is a place that the operator named, and
believed only if their chain, name and times are.

A delivery names the address before anybody knows whose it is. So nothing is fetched but over https from a host of the connector's
configuration, without following a redirect, within a size and a time, a few at once; and what came is kept for a while, under its address,
once it was verified. A host of the configuration may be given with its port, and as `http://` with a loopback address and port, for a
simulator on this machine: the certificates of that one, too, must lead to the configured anchors.

Not here: the signature itself (each connector), which of a delivery's headers names the address (each connector), HTTP answers (the edge).
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, final
from urllib.parse import SplitResult, urlsplit

import httpcore2
import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from connectors.contract import Forged, HttpRequest
from payorch.ports import Clock, Network, NotSent, OutcomeLost, Timeouts
from payorch.sections import ConnectorSettings

LONGEST_ADDRESS: Final = 2048
MOST_BYTES: Final = 65_536
"""Of what is fetched: a chain of four is some eight thousand."""
MOST_IN_CHAIN: Final = 10
AT_ONCE: Final = 4
"""Addresses that are fetched at the same time, of one connector. More wait, as long as one fetch may take."""
KEPT: Final = 16
"""Addresses of one connector. PSPs use one or two, and another when a certificate is renewed."""
KEPT_FOR: Final = timedelta(hours=6)
TIMEOUTS: Final = Timeouts(connect_seconds=3, write_seconds=2, read_seconds=3, total_seconds=5)
"""Of a fetch. PSPs give up on a delivery after 10 s or more."""

_HEADERS: Final = (("accept", "application/x-pem-file, application/pkix-cert, */*"),)
_NOT_PRINTED: Final = frozenset(map(chr, (*range(33), 127)))


class BadChain(Exception):
    """What came is no chain that leads to an anchor, or of another name, or of another time. The text is ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    certificates: tuple[bytes, ...]
    good_until: datetime


@final
class Certificates:
    """Those of one connector. hosts: as in the configuration. anchors: PEM; None stands for those of the system. name: that the certificate
    must have; `*.example.com` for any one below.
    """

    def __init__(self, *, network: Network, clock: Clock, hosts: Iterable[str], anchors: bytes | None, name: str) -> None:
        self._network = network
        self._clock = clock
        self._origins = frozenset(_origin_of(host) for host in hosts)
        self._store: Store | None = None if anchors is None else store_of(anchors)
        self._name = name
        self._kept: dict[str, _Kept] = {}
        self._at_once = trio.CapacityLimiter(AT_ONCE)

    @classmethod
    def of(cls, settings: ConnectorSettings, network: Network, clock: Clock) -> Certificates:
        """As that connector's configuration has it. Raises OSError and ValueError where its anchors cannot be read."""
        hosts, name = settings.certificate_hosts, settings.certificate_name
        return cls(network=network, clock=clock, hosts=hosts, anchors=settings.anchors(), name=name)

    async def at(self, address: str) -> tuple[bytes, ...] | Forged | None:
        """The verified certificates at that address, the PSP's own first, DER. Forged where it is none that may be fetched, or what is
        there cannot be believed; None where it could not be had just now.
        """
        origin = self._origin(address)
        if origin is None:
            return Forged(reason="its certificate is at an address that is not configured")
        kept = self._still_good(address)
        if kept is not None:
            return kept
        with trio.move_on_after(TIMEOUTS.total_seconds):
            async with self._at_once:
                # Of several that waited for the same, the first has it by now.
                return self._still_good(address) or await self._fetched(origin, address)
        return None

    def _origin(self, address: str) -> str | None:
        if len(address) > LONGEST_ADDRESS or not _NOT_PRINTED.isdisjoint(address) or not address.isascii():
            return None
        try:
            parts = urlsplit(address)
            origin = _origin_text(parts)
        except ValueError:
            return None
        plain = "@" in parts.netloc or "\\" in address or parts.fragment
        return origin if origin in self._origins and not plain else None

    def _still_good(self, address: str) -> tuple[bytes, ...] | None:
        kept = self._kept.get(address)
        return kept.certificates if kept is not None and self._clock.now() < kept.good_until else None

    async def _fetched(self, origin: str, address: str) -> tuple[bytes, ...] | Forged | None:
        body = await self._body(origin, address)
        if body is None:
            return None
        now = self._clock.now()
        try:
            certificates, ends = verified(body, store=self._trusted(), name=self._name, at=now)
        except BadChain as refusal:
            return Forged(reason=str(refusal))
        self._kept.pop(address, None)
        while len(self._kept) >= KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[address] = _Kept(certificates=certificates, good_until=min(now + KEPT_FOR, ends))
        return certificates

    async def _body(self, origin: str, address: str) -> bytes | None:
        parts = urlsplit(address)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        channel = self._network.channel(origin)
        try:
            response = await channel.exchange(HttpRequest(method="GET", path=path, headers=_HEADERS, body=b""), timeouts=TIMEOUTS)
        except (NotSent, OutcomeLost):
            return None
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(1):
                await channel.aclose()
        return response.body if response.status == 200 and len(response.body) <= MOST_BYTES else None

    def _trusted(self) -> Store:
        if self._store is None:
            self._store = store_of(None)  # many, and most connectors need none
        return self._store


def store_of(anchors: bytes | None) -> Store:
    """The trust anchors in that PEM; None stands for those that the platform's own connections trust. ValueError where it has none."""
    if anchors is not None:
        return Store(x509.load_pem_x509_certificates(anchors))
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)  # of old roots that break a rule: they are not ours to mend
        for one in httpcore2.default_ssl_context().get_ca_certs(binary_form=True):
            with contextlib.suppress(ValueError):
                found.append(x509.load_der_x509_certificate(one))
    return Store(found)


def verified(content: bytes, *, store: Store, name: str, at: datetime) -> tuple[tuple[bytes, ...], datetime]:
    """The certificates in `content` (PEM, the PSP's own first), DER, and when the first of them ends. Raises BadChain."""
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise BadChain("what is at its certificate's address is no certificate") from None
    if len(found) > MOST_IN_CHAIN:
        raise BadChain("its chain of certificates is too long")
    leaf, *between = found
    try:
        subject = x509.DNSName(_subject(leaf, name))
        chain = PolicyBuilder().store(store).time(at).build_server_verifier(subject).verify(leaf, between)
    except (VerificationError, ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise BadChain("its certificate is not one of the PSP's that is valid now, by the configured name and anchors") from None
    ends = min(one.not_valid_after_utc for one in chain)
    return tuple(one.public_bytes(Encoding.DER) for one in found), ends


def _subject(leaf: x509.Certificate, name: str) -> str:
    """The name that is to be verified: the configured one, or the one of the certificate's that is right below it. Raises ValueError."""
    if not name.startswith("*."):
        return name
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        names = []
    below = [one for one in names if one.partition(".")[2].lower() == name[2:].lower() and one.partition(".")[0].strip("*")]
    if not below:
        raise ValueError("the certificate has no such name")
    return below[0]


def _origin_of(host: str) -> str:
    """A configured host as the origin that it stands for. Raises ValueError."""
    return _origin_text(urlsplit(host if "://" in host else f"https://{host}"))


def _origin_text(parts: SplitResult) -> str:
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not an address of certificates")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}:{port}"
