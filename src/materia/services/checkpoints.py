"""Surrogate checkpoints: arrays and JSON in one npz file with its hash; loading runs no code."""

from __future__ import annotations

import hashlib
import os
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from materia import log, settings

META = "__meta__"

logger = log.logger(__name__)


def write(
    campaign_id: str, iteration: int, arrays: dict[str, NDArray[Any]], meta: dict[str, Any]
) -> dict[str, Any]:
    """Write a checkpoint whole or not at all.

    Returns:
        Its path below the artifact folder, its SHA-256 and its size in bytes.
    """
    buffer = BytesIO()
    text = np.frombuffer(orjson.dumps(meta, option=orjson.OPT_SERIALIZE_NUMPY), dtype=np.uint8)
    np.savez(buffer, allow_pickle=False, **{META: text}, **arrays)
    content = buffer.getvalue()
    relative = Path("campaigns") / campaign_id / f"surrogate-{iteration:05d}.npz"
    target = settings.current().artifact_dir / relative
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=".surrogate-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return {
        "path": str(relative),
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
    }


def read(checkpoint: dict[str, Any]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]] | None:
    """Read a checkpoint; None when it is gone or damaged, for it can be computed again."""
    target = settings.current().artifact_dir / checkpoint["path"]
    try:
        content = target.read_bytes()
    except OSError as error:
        logger.warning("checkpoint_not_read", path=str(target), reason=str(error))
        return None
    if hashlib.sha256(content).hexdigest() != checkpoint["sha256"]:
        logger.warning("checkpoint_damaged", path=str(target))
        return None
    with np.load(BytesIO(content), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files if name != META}
        meta = orjson.loads(archive[META].tobytes())
    return arrays, meta
