"""Ports of this machine: is one free, and which."""

from __future__ import annotations

import socket

from materia.errors import ConflictError, TransientError


def is_free(host: str, port: int) -> bool:
    """Return whether a server could listen there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: connections of a server that has just stopped do not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def require_free_port(host: str, port: int) -> None:
    """Raise `ConflictError` when somebody listens on the API's port.

    Raises:
        TransientError: When the address is not one of this machine.
    """
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TransientError(f"the host {host!r} is unknown: {error}", "see --host") from error
    if not is_free(host, port):
        raise ConflictError(
            f"port {port} of {host} is taken by another program",
            f"choose another one, such as --port {port + 1}",
        )


def any_port() -> int:
    """Return a port of this machine that is free just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
