"""What Prometheus scrapes: how much waits, how long it takes, and who is alive.

Counters lie in Redis (`materia.events.figures`), the rest is counted among what is open at the
moment. No query looks at jobs that have ended, so that a scrape costs the same after a million.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import redis
from kombu.exceptions import OperationalError
from sqlalchemy.exc import SQLAlchemyError

from materia import log, settings
from materia.broker import app as broker
from materia.broker.transport import ASIDE
from materia.errors import TransientError
from materia.events import stream
from materia.events.figures import Figures
from materia.services.campaign_life import ROOT
from materia.services.dispatch import LEADER
from materia.services.health import SERVED
from materia.store import campaigns as campaign_rows
from materia.store import leases
from materia.store import queues as queue_rows
from materia.store import workers as worker_rows
from materia.store.database import database
from materia.store.jobs import Row

logger = log.logger(__name__)


@dataclass(slots=True)
class Scrape:
    """Figures of one moment; parts that did not answer are None.

    Attributes:
        counters: What has happened so far.
        queues: queue, state, n, and the age of the oldest that could be taken, in seconds.
        campaigns: How many there are in each state.
        workers: Those that live.
        has_leader: Whether a scheduler leads.
        messages: Messages that wait in Redis, by queue.
        n_put_aside: What lay in queues and was no message.
    """

    counters: Figures | None = None
    queues: list[Row] | None = None
    campaigns: dict[str, int] = field(default_factory=dict)
    workers: list[Row] = field(default_factory=list)
    has_leader: bool | None = None
    messages: dict[str, int] | None = None
    n_put_aside: int | None = None


def scrape() -> Scrape:
    """Return the figures of this moment; what does not answer is left out."""
    found = Scrape()
    for part in (_of_database, _of_broker, _of_events):
        try:
            part(found)
        except (TransientError, SQLAlchemyError, redis.RedisError, OperationalError, OSError) as e:
            logger.warning("figures_missing", part=part.__name__, reason=str(e))
    return found


def _of_database(found: Scrape) -> None:
    lease_s = settings.current().lease_s
    with database().read() as connection:
        queues = queue_rows.depths(database(), connection, without_step=ROOT)
        found.campaigns = campaign_rows.n_by_state(connection)
        found.workers = worker_rows.living(database(), connection, lease_s)
        found.has_leader = leases.is_held(database(), connection, LEADER)
    # Last: its presence says that the database answered to the end.
    found.queues = queues


def _of_broker(found: Scrape) -> None:
    with broker.connection() as line:
        channel: Any = line.default_channel
        found.messages = {queue: channel._size(queue) for queue in SERVED}
        found.n_put_aside = channel.client.llen(ASIDE)


def _of_events(found: Scrape) -> None:
    found.counters = stream.read_figures()
