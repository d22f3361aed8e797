"""The guard of merchants' URLs: every odd spelling and every address that is not an ordinary public one is refused, and says why."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payorch.domain.merchant_urls import LONGEST_URL, MerchantUrlRefused, allowed_address, checked

# Written down anew from the IANA special-purpose registries and the list of what must be refused, not taken from the module.
NEVER = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24"),
    *("192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
    *("255.255.255.255/32", "168.63.129.16/32"),
    *(
        "2001::/23",
        "::/128",
        "::1/128",
        "::/96",
        "::ffff:0:0:0/96",
        "64:ff9b:1::/48",
        "100::/64",
        "100:0:0:1::/64",
        "2001::/32",
        "2001:2::/48",
    ),
    *("2001:10::/28", "2001:20::/28", "2001:db8::/32", "2002::/16", "3ffe::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10"),
    *("fec0::/10", "ff00::/8"),
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "192.0.1.1", "198.17.0.1", "223.255.255.254"]
PUBLIC_V6 = ["2606:4700:4700::1111", "2a00:1450:4001:80e::200e", "2001:4860:4860::8888", "2001:200::1", "2400::1", "3ffd::1"]
PRIVATE_V4 = ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "100.100.100.200", "224.0.0.1", "0.0.0.0", "255.255.255.255"]


def inside(network: IPv4Network | IPv6Network) -> st.SearchStrategy[IPv4Address | IPv6Address]:
    first, last = int(network[0]), int(network[-1])
    return st.integers(first, last).map(IPv4Address if network.version == 4 else IPv6Address)


@pytest.mark.parametrize("network", [ip_network(one) for one in NEVER], ids=str)
@given(data=st.data())
def test_no_address_of_the_listed_networks_is_allowed(network: IPv4Network | IPv6Network, data: st.DataObject) -> None:
    for address in (network[0], network[-1], data.draw(inside(network))):
        loopback = address in ip_network("127.0.0.0/8") or address == IPv6Address("::1")
        assert not allowed_address(address)
        assert allowed_address(address, local=True) == loopback


@pytest.mark.parametrize("text", [*PUBLIC, *PUBLIC_V6])
def test_ordinary_addresses_are_allowed(text: str) -> None:
    assert allowed_address(ip_address(text))
    assert allowed_address(ip_address(text), local=True)


@pytest.mark.parametrize(
    "text",
    ["64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "::127.0.0.1", "fec0::1", "224.0.0.1", "192.0.0.8", "192.88.99.1"],
)
def test_what_the_standard_library_calls_global_is_not(text: str) -> None:
    assert not allowed_address(ip_address(text))


@given(embedded=st.ip_addresses(v=4), local=st.booleans())
def test_an_address_that_stands_for_an_ipv4_one_is_judged_as_that_one(embedded: IPv4Address, local: bool) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        assert allowed_address(IPv6Address(int(IPv6Address(prefix)) | int(embedded)), local=local) == allowed_address(embedded)


@pytest.mark.parametrize("embedded", PRIVATE_V4)
def test_no_private_ipv4_hides_in_an_ipv6_address(embedded: str) -> None:
    number = int(IPv4Address(embedded))
    for place in (
        number,  # IPv4-compatible
        int(IPv6Address("::ffff:0:0")) | number,  # mapped
        int(IPv6Address("::ffff:0:0:0")) | number,  # translated
        int(IPv6Address("64:ff9b::")) | number,  # NAT64
        int(IPv6Address("64:ff9b:1::")) | number,  # local NAT64
        int(IPv6Address("2002::")) | number << 80,  # 6to4
        int(IPv6Address("2001::")) | number << 64,  # Teredo's server
        int(IPv6Address("2001::")) | number ^ 0xFFFF_FFFF,  # Teredo's client
        int(IPv6Address("2606:4700::5efe:0:0")) | number,  # ISATAP
        int(IPv6Address("2606:4700::200:5efe:0:0")) | number,  # ISATAP, unique
    ):
        assert not allowed_address(IPv6Address(place)), IPv6Address(place)


def test_an_address_bound_to_an_interface_is_not_allowed() -> None:
    assert not allowed_address(IPv6Address("2606:4700::1%eth0"))
    assert not allowed_address(IPv6Address("::1%lo"), local=True)


# URLs


def refusal(url: str, *, local: bool = False) -> str:
    with pytest.raises(MerchantUrlRefused) as caught:
        checked(url, local=local)
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "authority", "target"),
    [
        ("https://hooks.example.com/payorch", "hooks.example.com", 443, "hooks.example.com", "/payorch"),
        ("HTTPS://Hooks.Example.COM", "hooks.example.com", 443, "hooks.example.com", "/"),
        ("https://hooks.example.com:443/a?b=c&d", "hooks.example.com", 443, "hooks.example.com", "/a?b=c&d"),
        ("https://a.example.com:8443?x=1", "a.example.com", 8443, "a.example.com:8443", "/?x=1"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443, "xn--bcher-kva.example", "/"),
        ("https://1.1.1.1/x", "1.1.1.1", 443, "1.1.1.1", "/x"),
        ("https://[2606:4700:4700:0:0:0:0:1111]:8443/x", "2606:4700:4700::1111", 8443, "[2606:4700:4700::1111]:8443", "/x"),
        ("https://example.com/a@b:c//d", "example.com", 443, "example.com", "/a@b:c//d"),
    ],
)
def test_an_honest_url_is_taken_apart(url: str, host: str, port: int, authority: str, target: str) -> None:
    parts = checked(url)
    assert (parts.secure, parts.host, parts.port, parts.authority, parts.target) == (True, host, port, authority, target)


@pytest.mark.parametrize(
    ("url", "local", "authority"),
    [
        ("http://localhost:3000/hook", True, "localhost:3000"),
        ("http://127.0.0.1/hook", True, "127.0.0.1"),
        ("https://[::1]:9443/", True, "[::1]:9443"),
        ("http://hooks.example.com:1/", True, "hooks.example.com:1"),
    ],
)
def test_a_developer_may_have_more(url: str, local: bool, authority: str) -> None:
    assert checked(url, local=local).authority == authority
    refusal(url)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "begin with https"),
        ("http://example.com/", "begin with https"),
        ("ftp://example.com/", "begin with https"),
        ("//example.com/", "begin with https"),
        ("https:example.com", "begin with https"),
        ("https:/example.com", "begin with https"),
        ("javascript:alert(1)", "begin with https"),
        ("https://", "host cannot be read"),
        ("https:///path", "host cannot be read"),
        ("https://:443/", "host cannot be read"),
        ("https://example.com:/", "host cannot be read"),
        ("https://example.com:4 43/", "percent-encoded"),
        ("https://example.com:+443/", "host cannot be read"),
        ("https://example.com:443:443/", "host cannot be read"),
        ("https://[::1", "host cannot be read"),
        ("https://example.com:80/", "443 or 8443"),
        ("https://example.com:22/", "443 or 8443"),
        ("https://example.com:6379/", "443 or 8443"),
        ("https://example.com:99999/", "443 or 8443"),
        ("https://user@example.com/", "user name"),
        ("https://user:pw@example.com/", "user name"),
        ("https://example.com@127.0.0.1/", "user name"),
        ("https://example.com/#fragment", "fragment"),
        ("https://example.com#@127.0.0.1/", "fragment"),
        ("https://example.com/\r\nx: y", "percent-encoded"),
        ("https://exa\tmple.com/", "percent-encoded"),
        (" https://example.com/", "percent-encoded"),
        ("https://example.com/\x00", "percent-encoded"),
        ("https://bücher.example/", "xn--"),
        ("https://127。0。0。1/", "xn--"),
        ("https://\uff11\uff12\uff17.0.0.1/", "xn--"),
        ("https://①②⑦.0.0.1/", "xn--"),
        ("https://example.com\\@127.0.0.1/", "user name"),
        ("https://example.com\\.evil.example/", "not a name"),
        ("https://%31%32%37.0.0.1.example/", "not a name"),
        ("https://localhost/", "full public name"),
        ("https://intranet/", "full public name"),
        ("https://example.com./", "not a name"),
        ("https://.example.com/", "not a name"),
        ("https://a..example.com/", "not a name"),
        ("https://-a.example.com/", "not a name"),
        (f"https://{'a' * 64}.example.com/", "not a name"),
        (f"https://{'a.' * 127}example/", "not a name"),
        ("https://0x7f000001/", "unusual form"),
        ("https://2130706433/", "unusual form"),
        ("https://127.1/", "unusual form"),
        ("https://0177.0.0.1/", "unusual form"),
        ("https://0x7f.0.0.0x1/", "unusual form"),
        ("https://127.0.0.1./", "unusual form"),
        ("https://0/", "unusual form"),
        ("https://1.1.1.256/", "unusual form"),
        ("https://a.example.1/", "unusual form"),
        ("https://[::1%25lo]/", "not a public address"),
        ("https://[fe80::1%eth0]/", "not a public address"),
        ("https://[1.1.1.1]/", "unusual form"),
        ("https://[v1.x]/", "unusual form"),
        ("https://127.0.0.1/", "not a public address"),
        ("https://169.254.169.254/latest/meta-data/", "not a public address"),
        ("https://[::1]/", "not a public address"),
        ("https://[::ffff:127.0.0.1]/", "not a public address"),
        ("https://[::ffff:7f00:1]/", "not a public address"),
        ("https://[64:ff9b::a9fe:a9fe]/", "not a public address"),
        ("https://example.com/" + "a" * LONGEST_URL, "longer than"),
    ],
)
def test_anything_else_is_refused_in_words(url: str, says: str) -> None:
    assert says in refusal(url)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "http://169.254.169.254/", "http://[fd00::1]/", "http://0.0.0.0/", "http://127.1/"])
def test_a_developer_may_not_have_the_rest_of_the_network(url: str) -> None:
    refusal(url, local=True)


@pytest.mark.parametrize("url", ["http://localhost:0/", "http://localhost:65536/", "ftp://localhost/", "http://u@localhost/"])
def test_a_developer_writes_urls_too(url: str) -> None:
    refusal(url, local=True)


def test_a_target_is_not_shown() -> None:
    assert "hush" not in repr(checked("https://example.com/hook?token=hush"))


@given(
    st.one_of(st.text(max_size=60), st.text("htps:/.@#[]\\0127x%?-_a", max_size=30)).flatmap(lambda t: st.sampled_from([t, f"https://{t}"]))
)
def test_whatever_is_accepted_is_one_host_that_no_resolver_reads_as_an_address_in_disguise(url: str) -> None:
    try:
        parts = checked(url)
    except MerchantUrlRefused:
        return
    assert parts.port in (443, 8443)
    assert parts.target.startswith("/")
    try:
        numeric = socket.inet_aton(parts.host)  # all that a C library takes for IPv4, without asking anybody
    except OSError:
        return
    assert parts.host == str(IPv4Address(numeric))
    assert allowed_address(IPv4Address(numeric))


@given(
    st.lists(
        st.integers(0, 2**32 - 1).flatmap(lambda n: st.sampled_from([str(n), hex(n), f"0{n:o}", str(n & 255), hex(n & 255)])),
        min_size=1,
        max_size=4,
    )
)
def test_no_number_in_disguise_leads_to_a_private_address(parts: list[str]) -> None:
    host = ".".join(parts)
    try:
        accepted = checked(f"https://{host}/").host
    except MerchantUrlRefused:
        return
    assert allowed_address(IPv4Address(accepted))
    assert accepted == host
