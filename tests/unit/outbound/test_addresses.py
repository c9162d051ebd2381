"""Which addresses may be reached."""

from __future__ import annotations

import pytest

from materia.outbound.addresses import Allowed, is_disguised

NAMES = {"mail.lan": ["192.168.1.20"], "clever.lan": ["169.254.169.254"], "two.lan": ["10.0.0.1"]}


def resolve(name: str) -> list[str]:
    if name not in NAMES:
        raise OSError(name)
    return NAMES[name]


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses_may_be_reached(address: str) -> None:
    assert Allowed().refusal(address) is None


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.0.9", "::1", "0.0.0.0", "::"),
        *("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "fd00:ec2::254", "fe80::1%eth0"),
        *("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
        *("224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "2001:db8::1"),
        # IPv4 addresses in the clothes of IPv6.
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"),
        *("2001:0:53aa:64c:0:fbff:80ff:fffe", "64:ff9b::169.254.169.254"),
        # No addresses at all.
        *("localhost", "example.org", "2130706433", "0x7f000001", "", "127.1"),
    ],
)
def test_no_other_address_may_be_reached(address: str) -> None:
    assert Allowed().refusal(address)


def test_the_admin_allows_addresses_networks_and_names() -> None:
    entries = ["192.168.7.7", " 10.1.0.0/16", "fd00::/64", "[::1]", "mail.lan", "gone.lan", ""]
    allowed = Allowed.of(entries, resolve)
    for address in ("192.168.7.7", "10.1.200.3", "fd00::5", "::1", "192.168.1.20"):
        assert allowed.refusal(address) is None
    assert allowed.refusal("::ffff:10.1.0.9") is None
    for address in ("192.168.7.8", "10.2.0.1", "127.0.0.1", "192.168.1.21"):
        assert allowed.refusal(address)


def test_an_allowed_name_cannot_come_to_mean_the_metadata_service() -> None:
    assert Allowed.of(["clever.lan"], resolve).refusal("169.254.169.254")
    assert Allowed.of(["169.254.169.254"], resolve).refusal("169.254.169.254") is None


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "0x7F000001"])
def test_numbers_that_hide_an_address_are_seen(host: str) -> None:
    assert is_disguised(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "example.org", "1.example.org", "::1", "0xyz"])
def test_names_and_plain_addresses_are_no_disguise(host: str) -> None:
    assert not is_disguised(host)
