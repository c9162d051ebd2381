"""Who can reach a server that listens on an address: this machine only, or others too."""

from __future__ import annotations

import socket
from ipaddress import ip_address

EVERY = {"0.0.0.0": socket.AF_INET, "": socket.AF_INET, "::": socket.AF_INET6}
"""Hosts that stand for all addresses of a machine."""

# Reserved for documents: nobody is there, and connecting a datagram socket sends nothing.
_FAR_AWAY = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def is_exposed(host: str) -> bool:
    """Return whether other machines may reach what listens on a host."""
    if host in EVERY:
        return True
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, None)}
    except OSError:
        return True
    return not all(ip_address(address.partition("%")[0]).is_loopback for address in found)


def outside_host(host: str) -> str:
    """Return the host by which other machines name a server that listens on `host`."""
    if host not in EVERY:
        return host
    family = EVERY[host]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((_FAR_AWAY[family], 9))
            return str(probe.getsockname()[0])
    except OSError:
        return socket.gethostname()
