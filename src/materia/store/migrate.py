"""Bring the database to the newest schema: ``python -m materia.store.migrate``."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from materia import settings
from materia.store.database import Database

# Any number; the same for everyone who migrates.
ADVISORY_LOCK = 7_203_114


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Run every missing migration; safe to call from several processes at once."""
    target = Database(url)
    if target.is_sqlite and target.url.database:
        Path(target.url.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        with target.write() as connection:
            if not target.is_sqlite:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
    finally:
        target.close()


def versions(url: str) -> tuple[str | None, str]:
    """Return the schema version of the database and the newest one."""
    newest = ScriptDirectory.from_config(_config()).get_current_head() or ""
    target = Database(url)
    try:
        with target.read() as connection:
            return MigrationContext.configure(connection).get_current_revision(), newest
    finally:
        target.close()


def known() -> set[str]:
    """Return every schema version that this version of MatCraft knows."""
    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


if __name__ == "__main__":
    upgrade(settings.current().database)
