"""One question to a service by HTTP, and its answer, within bounds.

Neither redirects nor proxies are followed, and the address that was looked at is the one that is
connected to: a name that comes to mean another address in between changes nothing.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from materia.errors import AccessError, DataError, TransientError
from materia.outbound.addresses import Allowed, is_disguised, resolve

ANSWER_BYTES = 2**20
_PIECE = 2**14


class OutOfTimeError(Exception):
    """The service was reached and gave no whole answer in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of an answer."""

    status: int
    body: bytes


def split(url: str) -> SplitResult:
    """Return the parts of an address of HTTP.

    Raises:
        DataError: It is none, or holds a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise DataError(f"'{url}' is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise DataError(f"'{url}' is no address of a service", "http://host:port/path, or https")
    if parts.username is not None or parts.password is not None:
        raise DataError("the address holds a user or a password", "use the option 'token'")
    return parts


def reachable(url: str, allowed: Allowed) -> list[str]:
    """Return the addresses of a service's host, at present, each of which may be reached.

    Raises:
        DataError: As of `split`.
        AccessError: One of them may not be reached.
        TransientError: The name means nothing at present.
    """
    host = str(split(url).hostname)
    if is_disguised(host):
        raise AccessError(f"{host} hides which address it is", "write it in its usual form")
    try:
        found = resolve(host)
    except OSError:
        raise TransientError(f"there is no host '{host}' at present", "check the name") from None
    for address in found:
        if refusal := allowed.refusal(address):
            shown = refusal if address == host else f"{host} is {address}, and {refusal}"
            raise AccessError(
                f"{shown}, which may not be reached",
                "the admin allows hosts in MATERIA_EVALUATOR_ALLOW_HOSTS",
            )
    return found


def post(
    url: str, content: bytes, headers: Mapping[str, str], *, allowed: Allowed, timeout_s: float
) -> Answer:
    """Post `content` to a service and return what it answers.

    Args:
        allowed: What may be reached besides public addresses.
        timeout_s: From the connection to the end of the answer.

    Raises:
        DataError: As of `split`, or the answer is longer than `ANSWER_BYTES`, or not HTTP.
        AccessError: The host may not be reached.
        TransientError: It could not be reached, or left before it answered.
        OutOfTimeError: The answer did not come in time.
    """
    parts = split(url)
    addresses = reachable(url, allowed)
    deadline = time.monotonic() + timeout_s
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=timeout_s)
    # Kept here as well: the connection lets go of it where the service ends after its answer.
    connected = connection.sock = _connected(parts, addresses, timeout_s)
    try:
        target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
        connection.request("POST", target, content, {"Host": parts.netloc, **headers})
        response = connection.getresponse()
        return Answer(response.status, _body(response, connected, deadline))
    except TimeoutError:
        raise OutOfTimeError from None
    except (OSError, http.client.RemoteDisconnected, http.client.IncompleteRead) as error:
        raise TransientError(f"{parts.netloc} left before it had answered: {error}") from None
    except http.client.HTTPException as error:
        raise DataError(f"{parts.netloc} does not answer by HTTP: {error!r:.200}") from None
    finally:
        connection.close()
        connected.close()


def _connected(parts: SplitResult, addresses: list[str], timeout_s: float) -> socket.socket:
    port = parts.port or (443 if parts.scheme == "https" else 80)
    reason = "no address"
    for address in addresses:
        try:
            plain = socket.create_connection((address, port), timeout_s)
        except OSError as error:
            reason = error.strerror or str(error)
            continue
        if parts.scheme == "http":
            return plain
        try:
            context = ssl.create_default_context()
            return context.wrap_socket(plain, server_hostname=parts.hostname)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            raise DataError(
                f"the certificate of {parts.netloc} is not valid: {error.verify_message}"
            ) from None
        except OSError as error:
            plain.close()
            reason = error.strerror or str(error)
    raise TransientError(
        f"{parts.hostname}:{port} cannot be reached: {reason}",
        "start the service, or check the URL",
    )


def _body(response: http.client.HTTPResponse, connected: socket.socket, deadline: float) -> bytes:
    body = b""
    while len(body) <= ANSWER_BYTES:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        # A service that sends a byte now and then would otherwise never be late.
        connected.settimeout(left)
        piece = response.read1(_PIECE)
        if not piece:
            return body
        body += piece
    raise DataError(f"the answer is longer than {ANSWER_BYTES // 2**20} MB")
