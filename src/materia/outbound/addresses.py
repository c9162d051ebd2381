"""Which addresses of the network may be reached: public ones, and those that the admin allows."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IPv6 addresses that stand for an IPv4 one: the last four bytes (NAT64, RFC 6052).
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Public by their numbers, yet metadata services of clouds.
METADATA = tuple(map(ipaddress.ip_address, ("168.63.129.16", "192.0.0.192")))
# What C libraries read as an address besides the usual form: 2130706433, 0x7f.1, 0177.0.0.1.
NUMERIC = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+)){0,3}\.?", re.IGNORECASE)


def resolve(host: str) -> list[str]:
    """Return the addresses of a host name, at present.

    Raises:
        OSError: It has none.
    """
    found = socket.getaddrinfo(host, None, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, seen by nobody else; no name is looked up."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be reached besides public addresses."""

    networks: tuple[Network, ...] = ()
    hosts: frozenset[Address] = frozenset()

    @classmethod
    def of(cls, entries: Iterable[str], resolve: Callable[[str], list[str]] = resolve) -> Allowed:
        """Read an allow-list: addresses, networks, and names, which are resolved now."""
        networks: list[Network] = []
        hosts: set[Address] = set()
        for entry in filter(None, map(str.strip, entries)):
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]"), strict=False))
                continue
            except ValueError:
                pass
            try:
                hosts.update(map(_parsed, resolve(entry)))
            except OSError:
                continue
        return cls(tuple(networks), frozenset(hosts))

    def refusal(self, text: str) -> str | None:
        """Return why an address may not be reached; None when it may.

        Args:
            text: As it is about to be connected to; a name is refused, for it could come to mean
                another address in between.
        """
        try:
            address = _parsed(text)
        except ValueError:
            return f"{text!r:.80} is no address"
        return next(filter(None, map(self._refusal, _meant(address))), None)

    def _refusal(self, address: Address) -> str | None:
        if any(address in network for network in self.networks):
            return None
        kind = _kind(address)
        # A name may point into the local network, but not at what no host has for its own.
        if kind in ("loopback", "private") and address in self.hosts:
            return None
        return f"{address} is a {kind} address" if kind else None


def _parsed(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _meant(address: Address) -> Iterator[Address]:
    """Yield an address, or the IPv4 addresses that an IPv6 one is another form of."""
    if isinstance(address, ipaddress.IPv4Address):
        yield address
        return
    others: list[Any] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        others.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    inner = [other for other in others if other is not None]
    yield from inner or [address]


def _kind(address: Address) -> str | None:
    """Return what keeps an address from being public; None for a public one."""
    if address.is_unspecified:
        return "unspecified"
    if address.is_loopback:
        return "loopback"
    if address.is_link_local or address in METADATA:
        return "link-local or metadata"
    if address.is_multicast:
        return "multicast"
    if not address.is_global:
        return "private"
    return "reserved" if address.is_reserved else None


def is_disguised(host: str) -> bool:
    """Tell whether a host is an address in a form that hides which one it is."""
    if not NUMERIC.fullmatch(host):
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return True
    return False
