"""Which URLs merchants may have us send to, and which addresses behind them: nobody makes this platform talk to its own neighbours (SSRF).

Two questions, because a name can be told to lead anywhere at any time: `checked` when an endpoint is written down, and again before each
connection; `allowed_address` of every address that its name has at that moment. Both are strict rather than clever: a host that two parsers
could read differently is refused, and so is every address that is not an ordinary public one. `ipaddress.is_global` is not asked, since it
calls multicast, 6to4, NAT64 and site-local addresses global.

`local` is for a developer's machine: plain http, any port and loopback are allowed there, and nothing else that is private.

Not here: resolving and connecting (`payorch.network`). A network that translates IPv4 under a prefix of its own (RFC 6052) cannot be
recognised by an address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

LONGEST_URL: Final = 2048
PORTS: Final = (443, 8443)
"""HTTPS and its usual alternative. Any port at all would make this platform a scanner of other people's hosts."""
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_PRINTABLE: Final = re.compile(r"[!-~]*")
_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?]*)(?P<target>.*)")
_AUTHORITY: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]+)(?::(?P<port>[0-9]{1,5}))?")
_LABEL: Final = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LONGEST_NAME: Final = 253
# What C libraries take for an IPv4 address, or a part of one: 127.1, 2130706433, 0x7f000001, 0177.0.0.1. All end in a number.
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")

_LOOPBACK: Final = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
_NOT_PUBLIC: Final[tuple[IPv4Network | IPv6Network, ...]] = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8",  # this network, and the unspecified address
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' shared addresses (CGNAT); a cloud's metadata too
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a public address that is the platform's own inside one large cloud
        "169.254.0.0/16",  # link-local, cloud metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        "::/3",  # unspecified, loopback, IPv4-compatible, IPv4-translated, discard; a local NAT64 (64:ff9b:1::/48)
        "2001::/23",  # protocol assignments: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3ffe::/16",  # the 6bone that was
        "3fff::/20",  # documentation
        "4000::/2",  # nothing is assigned there, but for segment routing inside networks (5f00::/16)
        "8000::/1",  # the same, and unique-local, link-local, site-local, multicast
    )
)
# Whoever connects to these reaches the IPv4 address in their last 32 bits: they are judged as that one. Networks with IPv6 alone reach the
# whole public IPv4 internet through the second.
_IPV4_BEHIND: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
_IPV4_BITS: Final = 0xFFFF_FFFF
# An interface identifier of ISATAP: a mark, and the IPv4 address that the packet is carried to. The bit left out says whether it is unique.
_ISATAP_MASK: Final = 0xFDFF_FFFF
_ISATAP_MARK: Final = 0x0000_5EFE


class MerchantUrlRefused(Exception):
    """Nothing is ever sent there. The text is for the merchant: what is wrong with the URL, and nothing about our network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantUrl:
    """A URL taken apart. host: a name in lower case, or an address without brackets. authority: the Host header. target: path and query."""

    secure: bool
    host: str
    port: int
    authority: str
    target: str = field(repr=False)
    """some merchants put a secret there"""


def checked(url: str, *, local: bool = False) -> MerchantUrl:
    """The URL as it will be used. Raises MerchantUrlRefused; says nothing about where a name leads."""
    if len(url) > LONGEST_URL:
        raise MerchantUrlRefused(f"The URL is longer than {LONGEST_URL} characters.")
    if not _PRINTABLE.fullmatch(url):
        raise MerchantUrlRefused(
            "The URL holds spaces, control characters or letters beyond ASCII. Write those of the path percent-encoded, "
            "and an international host name in its xn-- form."
        )
    parts = _URL.fullmatch(url)
    schemes = ("https", "http") if local else ("https",)
    if parts is None or parts["scheme"].lower() not in schemes:
        raise MerchantUrlRefused(f"The URL must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}.")
    if "#" in url:
        raise MerchantUrlRefused("The URL must not have a fragment (#).")
    if "@" in parts["authority"]:
        raise MerchantUrlRefused("The URL must not hold a user name or a password.")
    authority = _AUTHORITY.fullmatch(parts["authority"])
    if authority is None:
        raise MerchantUrlRefused("The URL's host cannot be read. Write https://host/path or https://host:port/path.")
    scheme = parts["scheme"].lower()
    port = int(authority["port"] or _DEFAULT_PORTS[scheme])
    if not (0 < port < 2**16 if local else port in PORTS):
        raise MerchantUrlRefused(f"The URL's port must be {'from 1 to 65535' if local else ' or '.join(map(str, PORTS))}.")
    host = _host(authority["host"].lower(), local=local)
    shown = f"[{host}]" if ":" in host else host
    return MerchantUrl(
        secure=scheme == "https",
        host=host,
        port=port,
        authority=shown if port == _DEFAULT_PORTS[scheme] else f"{shown}:{port}",
        target=parts["target"] if parts["target"].startswith("/") else f"/{parts['target']}",
    )


def allowed_address(address: Address, *, local: bool = False) -> bool:
    """Whether that address is an ordinary public one (or, where `local`, loopback): whether a connection to it may be opened."""
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if any(address in network for network in _IPV4_BEHIND):
            return allowed_address(IPv4Address(int(address) & _IPV4_BITS))
        if int(address) >> 32 & _ISATAP_MASK == _ISATAP_MARK and not allowed_address(IPv4Address(int(address) & _IPV4_BITS)):
            return False
    if local and any(address in network for network in _LOOPBACK):
        return True
    return not any(address in network for network in _NOT_PUBLIC)


def _host(text: str, *, local: bool) -> str:
    """The host as it is resolved, and as a certificate must name it. Raises MerchantUrlRefused."""
    if text.startswith("[") or _NUMBER.fullmatch(text.rstrip(".").rpartition(".")[2]):
        return str(_literal(text, local=local))
    if not _NAME.fullmatch(text) or len(text) > _LONGEST_NAME:
        raise MerchantUrlRefused("The URL's host is not a name: letters, digits and hyphens between dots, without a dot at its end.")
    if "." not in text and not local:
        raise MerchantUrlRefused("The URL's host must be a full public name, such as hooks.example.com.")
    return text


def _literal(text: str, *, local: bool) -> Address:
    address: Address
    try:
        address = IPv6Address(text[1:-1]) if text.startswith("[") else IPv4Address(text)
    except AddressValueError:
        raise MerchantUrlRefused(
            "The URL's host is an address in an unusual form. Write four decimal numbers, or IPv6 in brackets; a name is better."
        ) from None
    if not allowed_address(address, local=local):
        raise MerchantUrlRefused("The URL's host is not a public address.")
    return address
