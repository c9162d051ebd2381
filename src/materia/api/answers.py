"""Answers as JSON. What is not a number is null, times are ISO 8601 in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.responses import Response

from materia import log

logger = log.logger(__name__)


def answer(
    content: Any, status: int = 200, *, headers: Mapping[str, str] | None = None
) -> Response:
    """Return plain data as a JSON answer; orjson writes NaN and infinities as null."""
    return Response(orjson.dumps(content), status, media_type="application/json", headers=headers)


def accepted(content: Mapping[str, Any], links: Mapping[str, str]) -> Response:
    """Return the answer to what goes on by itself, with where to look for it."""
    ids = {"job_id": content.get("task_id"), "campaign_id": content.get("campaign_id")}
    logger.info("accepted", **{name: value for name, value in ids.items() if value is not None})
    return answer({**content, "links": links}, 202, headers={"Location": links["self"]})


def written_time(seconds: float | None) -> str | None:
    """Return a time in seconds since the epoch as ISO 8601."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
