"""The two clients: one blocking, one asynchronous, with the same methods."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from materia import settings
from materia.client import definitions, local, watching
from materia.client.choices import Evaluators, Templates
from materia.client.keys import Keys
from materia.client.learning import Datasets, Models, Retrainings
from materia.client.nouns import Campaigns, Jobs, Run, Schedules, Workers
from materia.client.steps import got, items
from materia.client.wire import Address, AsyncWire, Wire

TIMEOUT_S = 30.0


def _own_key() -> str | None:
    key = settings.current().api_key
    return key.get_secret_value() if key is not None else None


class _Operations:
    """What both clients can do."""

    def __init__(self, run: Run, stream: Run) -> None:
        self.campaigns = Campaigns(run, stream)
        self.jobs = Jobs(run, stream)
        self.schedules = Schedules(run, stream)
        self.models = Models(run, stream)
        self.datasets = Datasets(run, stream)
        self.retrainings = Retrainings(run, stream)
        self.templates = Templates(run, stream)
        self.evaluators = Evaluators(run, stream)
        self.workers = Workers(run, stream)
        self.keys = Keys(run, stream)
        self._run = run
        self._stream = stream

    def run(self, definition: definitions.Source, *, idempotency_key: str | None = None) -> Any:
        """Start a campaign; see `Campaigns.run`."""
        return self.campaigns.run(definition, idempotency_key=idempotency_key)

    def health(self) -> Any:
        """Return ``{status, timestamp, reasons, parts}``: healthy, degraded or unhealthy."""
        return self._run(got("/health/cluster"))

    def queues(self) -> Any:
        """Return what each queue holds: ``[{queue, waiting, running, oldest_s, priorities, …}]``.

        ``workers`` names those that take it.
        """
        return self._run(items("/queues"))

    def cluster(self) -> Any:
        """Return ``{configured, status, reasons, nodes, checked_at}`` of the Ray cluster."""
        return self._run(got("/cluster"))

    def watch(self, *, after: int | None = None) -> Any:
        """Iterate over everything that happens on the server, from now on or after an event's id.

        Never ends by itself. An event of type ``resync`` says that some were missed, and comes
        first where `after` is None: read the state of what matters then.
        """
        return self._stream(watching.everything(after))

    def ready(self) -> Any:
        """Return ``{status, checks}`` of a server that gets work done; `TransientError` else."""
        return self._run(got("/health/ready"))


class Client(_Operations):
    """A blocking client; use it in a ``with`` block or close it.

    Args:
        url: scheme://host:port
        key: Of the server, if it asks for one; MATERIA_API_KEY if None.
        timeout_s: Longest silence during a request.
        transport: Of httpx, such as one that serves an application in the same process.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._wire = Wire(Address(url, key or _own_key()), timeout_s, transport)
        super().__init__(self._wire.run, self._wire.stream)

    @classmethod
    def local(cls, data_dir: Path | str | None = None) -> Self:
        """Return a client of the stack that ``materia up`` started on a data folder."""
        return cls(*local.find(data_dir))

    def close(self) -> None:
        """Close the connection."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient(_Operations):
    """An asynchronous client; arguments as for `Client`."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._wire = AsyncWire(Address(url, key or _own_key()), timeout_s, transport)
        super().__init__(self._wire.run, self._wire.stream)

    @classmethod
    def local(cls, data_dir: Path | str | None = None) -> Self:
        """Return a client of the stack that ``materia up`` started on a data folder."""
        return cls(*local.find(data_dir))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._wire.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
