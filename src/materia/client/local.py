"""Find the stack that runs on a data folder of this machine."""

from __future__ import annotations

import json
from pathlib import Path

from materia import settings
from materia.errors import NotFoundError

STATE = "stack.json"


def find(data_dir: Path | str | None) -> tuple[str, str | None]:
    """Return address and key of the stack on a data folder.

    Args:
        data_dir: As given to ``materia up``; the folder of the settings if None.

    Raises:
        NotFoundError: No stack has been started there.
    """
    folder = Path(data_dir) if data_dir is not None else settings.current().data_dir
    folder = folder.expanduser().resolve()
    try:
        state = json.loads((folder / STATE).read_text())
        return str(state["api_url"]), state.get("api_key")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotFoundError(
            f"no stack runs on {folder}",
            "`materia up` starts one; --data-dir names another folder, --server a server",
        ) from error
