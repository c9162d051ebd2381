"""Is a process ready? Each probe asks it from outside and answers yes or no at once.

They speak the few bytes that they need themselves: the supervisor stays small that way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

# Takes the pid of the process that must be the one that answers.
Probe = Callable[[int], Awaitable[bool]]

TIMEOUT_S = 5.0


async def at_once(_: int) -> bool:
    """Say yes: the process counts as ready when it runs."""
    return True


def http_ok(host: str, port: int, path: str, key: str) -> Probe:
    """Return a probe that asks for `path` with an API key and takes status 200 for yes."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: {host}:{port}",
        f"Authorization: Bearer {key}",
        "Connection: close",
    ]
    request = "\r\n".join(lines) + "\r\n\r\n"

    async def probe(_: int) -> bool:
        status = await _exchange(host, port, request, until=b"\r\n")
        return status.split()[1:2] == [b"200"]

    return probe


def redis_answers(port: int, password: str) -> Probe:
    """Return a probe that is content when the Redis at `port` is the very process and has loaded.

    Another server may have taken the port meanwhile.
    """
    request = f"AUTH {password}\r\nPING\r\nINFO server\r\nQUIT\r\n"

    async def probe(pid: int) -> bool:
        reply = await _exchange("127.0.0.1", port, request)
        return b"+PONG" in reply and f"process_id:{pid}\r\n".encode() in reply

    return probe


def file_names(path: Path) -> Probe:
    """Return a probe that waits until the process has written its own pid into a file."""

    async def probe(pid: int) -> bool:
        try:
            return path.read_text().strip() == str(pid)
        except OSError:
            return False

    return probe


async def _exchange(host: str, port: int, request: str, until: bytes | None = None) -> bytes:
    """Return what the server answers, to the end or to `until`; empty when it does not."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode())
                await writer.drain()
                return await (reader.readuntil(until) if until else reader.read(-1))
            finally:
                writer.close()
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
        return b""
