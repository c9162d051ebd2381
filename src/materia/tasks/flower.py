"""Flower, started as `celery -A materia.tasks flower`: who may use it.

Whoever uses Flower can end workers and jobs. With `FLOWER_USER` and `FLOWER_PASSWORD` it asks for
them; without, it listens on loopback only.
"""

from __future__ import annotations

from typing import Any

import click
from celery import signals

from materia import settings
from materia.broker.app import app
from materia.errors import AccessError
from materia.services.flower import HINT, credentials
from materia.settings import Settings

LOOPBACK = "127.0.0.1"


def secure(options: Any, config: Settings) -> None:
    """Set who may use Flower, in its own options.

    Raises:
        AccessError: When it would be open to other machines.
    """
    chosen = credentials(config)
    if chosen is not None:
        options.basic_auth = [chosen]
    if options.basic_auth or options.auth or options.unix_socket:
        return
    if options.address not in ("", "localhost", LOOPBACK, "::1"):
        raise AccessError(
            f"Flower does not start: at {options.address} anybody could end jobs and workers", HINT
        )
    options.address = LOOPBACK


@signals.import_modules.connect
def _before_flower_listens(**_: Any) -> None:
    """Secure Flower: it has read its options and is about to listen when it imports the tasks."""
    context = click.get_current_context(silent=True)
    if context is None or context.info_name != "flower":
        return
    import tornado.web
    from flower.options import options
    from flower.views.monitor import Metrics

    try:
        secure(options, settings.current())
    except AccessError as error:
        raise click.ClickException(str(error)) from None
    # It counts messages where it knows the transport, and takes none from a queue: kombu's will do.
    app.conf.broker_transport = None
    if options.basic_auth:
        # Flower itself shows the names of workers and tasks there to everybody.
        Metrics.get = tornado.web.authenticated(Metrics.get)
