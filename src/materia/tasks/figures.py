"""Figures of a worker or scheduler process for Prometheus, on a port of its own when one is set.

What many processes do together the API tells (`/api/v1/metrics`); here is what only the process
itself knows: its memory, processor time and open files, and how its pool is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, start_http_server

from materia import log, settings

logger = log.logger(__name__)


def show_life() -> None:
    """Touch the file by which a container sees that this process does its work."""
    path = settings.current().alive_file
    if path is not None:
        try:
            path.touch()
        except OSError as error:
            logger.warning("alive_file_not_touched", path=str(path), reason=str(error))


def serve(kind: str, gauges: Mapping[str, Callable[[], float]]) -> None:
    """Serve figures at MATERIA_METRICS_PORT, if that is set; a taken port is no reason to end.

    Args:
        kind: worker or scheduler; names of figures begin with it.
        gauges: More figures by name, read at each scrape.
    """
    config = settings.current()
    if config.metrics_port is None:
        return
    registry = CollectorRegistry()
    ProcessCollector(namespace=f"materia_{kind}", registry=registry)
    for name, read in gauges.items():
        Gauge(f"materia_{kind}_{name}", name.replace("_", " "), registry=registry).set_function(
            read
        )
    where = {"port": config.metrics_port, "host": config.metrics_host}
    try:
        start_http_server(config.metrics_port, config.metrics_host, registry)
    except OSError as error:
        logger.warning(
            "figures_not_served",
            **where,
            reason=str(error),
            hint="give each process of a host a MATERIA_METRICS_PORT of its own",
        )
    else:
        logger.info("figures_served", **where)
