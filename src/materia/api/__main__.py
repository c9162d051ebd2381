"""``python -m materia.api`` serves the application until it is told to stop."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time

import uvicorn

from materia import log, settings
from materia.api.app import create_app
from materia.errors import AccessError, MateriaError
from materia.services import keys, safety

# Clients send nothing but a handshake over a WebSocket.
MAX_FRAME = 4096
# Open connections may finish for so long.
GRACE_S = 5
# A client that takes nothing for so long is cut off by the kernel, whatever waits for it.
STUCK_AFTER_MS = 30_000

FIRST_KEY_EVERY_S = 2.0
FIRST_KEY = """
The first admin key of this server, which is shown this once:

    {0}

Make a key for each person with it, and revoke it:
    export MATERIA_API_KEY={0}
    materia keys create NAME --scope write --server URL

"""

logger = log.logger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening address; `OSError` when it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, for asyncio switches off Nagle's delay only where it sees the protocol.
    found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Accepted connections inherit it.
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_AFTER_MS)
    try:
        found.bind((host, port))
    except OSError:
        found.close()
        raise
    return found


def server(config: settings.Settings) -> uvicorn.Server:
    """Return the server of the application, not yet listening."""
    return uvicorn.Server(
        uvicorn.Config(
            create_app(config),
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws_max_size=MAX_FRAME,
            ws_per_message_deflate=False,
            ws_ping_interval=20.0,
            ws_ping_timeout=20.0,
            timeout_graceful_shutdown=GRACE_S,
        )
    )


def _make_first_key() -> None:
    """Make an admin key where there is none and print it, once and not into the log."""
    while True:
        try:
            secret = keys.create_first()
            break
        except MateriaError:
            time.sleep(FIRST_KEY_EVERY_S)
    if secret is not None:
        sys.stderr.write(FIRST_KEY.format(secret))
        sys.stderr.flush()


def main() -> int:
    """Serve; 0 after an orderly stop."""
    config = settings.current()
    log.configure(config.log_level)
    try:
        safety.require_safe(config)
    except AccessError as error:
        sys.stderr.write(f"error: {error.message}\n{error.hint}\n")
        return 1
    serving = server(config)
    try:
        address = listen(config.api_host, config.api_port)
    except OSError as error:
        logger.error(
            "address_not_available",
            host=config.api_host,
            port=config.api_port,
            reason=error.strerror,
            hint="another program listens there: set MATERIA_API_PORT to a free port",
        )
        return 1
    logger.info("listening", host=config.api_host, port=config.api_port)
    if config.api_key is None:
        # The database may come later than this server.
        threading.Thread(target=_make_first_key, daemon=True).start()
    for name in (signal.SIGTERM, signal.SIGINT):
        # The server stops in order and then raises the signal again: an orderly stop is no failure.
        signal.signal(name, lambda *_: None)
    serving.run(sockets=[address])
    return 0 if serving.started else 1


if __name__ == "__main__":
    sys.exit(main())
