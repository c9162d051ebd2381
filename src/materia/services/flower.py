"""User and password of Flower, as the settings have them."""

from __future__ import annotations

from materia.errors import AccessError
from materia.settings import Settings

HINT = "set both FLOWER_USER and FLOWER_PASSWORD, in the environment or in .env, or neither"


def credentials(config: Settings) -> str | None:
    """Return user and password as Flower takes them, None when neither is set.

    Raises:
        AccessError: When one of them is empty or missing.
    """
    password = config.flower_password
    given = {
        "FLOWER_USER": config.flower_user,
        "FLOWER_PASSWORD": password.get_secret_value() if password else None,
    }
    if all(value is None for value in given.values()):
        return None
    missing = [name for name, value in given.items() if not (value or "").strip()]
    if missing:
        raise AccessError(f"Flower does not start: {' and '.join(missing)} is empty", HINT)
    if ":" in str(given["FLOWER_USER"]):
        raise AccessError("Flower does not start: FLOWER_USER has a colon", "choose another name")
    return ":".join(map(str, given.values()))
