"""JSON logs that carry `job_id` and `campaign_id`; values are escaped, secrets redacted."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
import structlog

SECRET_KEY = re.compile(r"(password|passwd|secret|token|api_?key|authorization)", re.IGNORECASE)
# Begins with a fixed text: a long word in a line must not cost the square of its length.
URL_PASSWORD = re.compile(r"(://[^:/@\s]*:)[^/\s]+@")
REDACTED = "***"
_OF_EVERY_RECORD = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime"})


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return SECRET_KEY.search(key) is not None


def redact(value: Any) -> Any:
    """Return `value` with passwords in URLs and values under secret-looking keys replaced."""
    if isinstance(value, str):
        return URL_PASSWORD.sub(rf"\1{REDACTED}@", value) if "://" in value else value
    if isinstance(value, dict):
        return {k: REDACTED if _is_secret(str(k)) else redact(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [redact(v) for v in value]
    return value


class _JsonLines(logging.Formatter):
    """Formats every record, ours and the libraries', as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        is_ours = hasattr(record, "_from_structlog")
        own: Any = record.msg if is_ours else self._foreign(record)
        event = {
            **structlog.contextvars.get_contextvars(),
            **own,
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
        }
        event = redact(event)
        try:
            return orjson.dumps(event, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # a lone surrogate, or a whole number beyond 64 bits
            return json.dumps(event, default=repr, skipkeys=True)

    def _foreign(self, record: logging.LogRecord) -> dict[str, Any]:
        event = {k: v for k, v in vars(record).items() if k not in _OF_EVERY_RECORD}
        # Of what Celery adds, the id and the task are kept; the message says the rest.
        added = event.get("data")
        if isinstance(added, dict) and "id" in added:
            del event["data"]
            event["job_id"], event["task"] = added["id"], added.get("name")
        event["event"] = record.getMessage()
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return event


def configure(level: str = "INFO") -> None:
    """Send every record, ours and the libraries', to stderr as one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    structlog.configure(
        processors=[structlog.processors.format_exc_info, _to_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def _to_formatter(
    _: Any, __: str, event: MutableMapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Hand the event over as the record's message, whatever names its values have."""
    return (event,), {"extra": {"_from_structlog": True}}


LABELS = ("job_id", "campaign_id")


def label(**labels: str | None) -> None:
    """Let every line of this thread or task carry ids; those that are None are left out."""
    structlog.contextvars.bind_contextvars(**{k: v for k, v in labels.items() if v is not None})


def forget_labels() -> None:
    """Let no line carry ids any more."""
    structlog.contextvars.unbind_contextvars(*LABELS)


def labels() -> dict[str, str]:
    """Return the ids that lines carry at present, to be handed on to another process."""
    found = structlog.contextvars.get_contextvars()
    return {name: found[name] for name in LABELS if name in found}


def logger(name: str) -> Any:
    """Return the logger of one module."""
    return structlog.stdlib.get_logger(name)
