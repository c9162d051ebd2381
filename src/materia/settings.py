"""One frozen `Settings`: flags, then environment ``MATERIA_*``, then ``.env``, then defaults."""

from __future__ import annotations

from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

QUEUES = ("high_priority", "default", "low_priority", "gpu_training", "ml", "data")


class Settings(BaseSettings):
    """What an operator can set. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="MATERIA_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    environment: Literal["development", "production"] = "development"
    data_dir: Path = Path("materia-data")
    data_roots: str = Field(
        "", description="more folders that tasks may read and write, separated by ':'"
    )
    database_url: str | None = Field(None, description="default: SQLite in the data folder")
    broker_url: str = "redis://127.0.0.1:6379/0"
    result_backend: str = "redis://127.0.0.1:6379/1"
    events_url: str | None = Field(None, description="Redis of the live events; default: broker")
    api_host: str = "127.0.0.1"
    api_port: Annotated[int, Field(ge=1, le=65535)] = 8000
    api_key: SecretStr | None = Field(None, description="key that every request must carry")

    lease_s: Annotated[float, Field(gt=0)] = Field(
        30.0, description="a claim not renewed for so long counts as abandoned"
    )
    scan_interval_s: Annotated[float, Field(gt=0)] = Field(
        1.0, description="pause between two looks of the scheduler"
    )
    resend_after_s: Annotated[float, Field(gt=0)] = Field(
        20.0, description="a queued job unheard of for so long is sent again; doubles each time"
    )
    cancel_grace_s: Annotated[float, Field(ge=0)] = Field(
        5.0, description="between the soft signal of a cancel and the kill"
    )
    shutdown_grace_s: Annotated[float, Field(ge=0)] = Field(
        8.0, description="running jobs may finish for so long when a worker stops"
    )
    max_crashes: Annotated[int, Field(ge=1)] = Field(
        3, description="deaths of its own process after which a job is quarantined"
    )
    processes_per_job: Annotated[int, Field(ge=1, le=1024)] = Field(
        2, description="processes of this machine that a training or prediction uses at a time"
    )
    new_data_dir: str = Field(
        "new",
        validation_alias=AliasChoices("MATERIA_NEW_DATA_DIR", "NEW_DATA_DIR"),
        description="folder that `process_new_data` looks into; a relative one is below the data "
        "root",
    )
    new_data_settle_s: Annotated[float, Field(ge=0)] = Field(
        5.0, description="a new file that has not changed for so long is whole"
    )
    new_data_transformations: dict[str, Any] = Field(
        {"filter": {"amount": 100}, "num_chunks": 5},
        description="what `process_new_data` asks of `process_large_csv`; JSON",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @cached_property
    def database(self) -> str:
        """URL of the database in use."""
        path = str((self.data_dir / "materia.db").absolute())
        # What would end the path of a URL, or be decoded in it, is escaped.
        escaped = path.replace("%", "%25").replace("?", "%3F")
        return self.database_url or f"sqlite:///{escaped}"

    @cached_property
    def events(self) -> str:
        """URL of the Redis that carries live events."""
        return self.events_url or self.broker_url

    @property
    def data_root(self) -> Path:
        """Folder of the files that tasks may touch."""
        return (self.data_dir / "files").absolute()

    @property
    def artifact_dir(self) -> Path:
        """Folder of checkpoints and reports."""
        return (self.data_dir / "artifacts").absolute()

    @property
    def allowed_roots(self) -> tuple[Path, ...]:
        """Every folder below which paths are accepted, resolved."""
        extra = (Path(p) for p in self.data_roots.split(":") if p)
        return tuple(p.resolve() for p in (self.data_root, *extra))


@lru_cache(maxsize=1)
def current() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
