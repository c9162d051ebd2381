"""One frozen `Settings`: flags, then environment ``MATERIA_*``, then ``.env``, then defaults."""

from __future__ import annotations

import json
import re
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

CHANNEL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
CHANNELS_EXAMPLE = """{"default": "mailto://user:password@example.org"}"""
DATABASES = ("sqlite", "postgresql", "postgres")
QUEUES = ("high_priority", "default", "low_priority", "gpu_training", "ml", "data")


class Settings(BaseSettings):
    """What an operator can set. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="MATERIA_",
        env_file=".env",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        # What is refused may be a secret.
        hide_input_in_errors=True,
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
    flower_user: str | None = Field(
        None,
        validation_alias=AliasChoices("MATERIA_FLOWER_USER", "FLOWER_USER"),
        description="who may use Flower; without user and password it listens on loopback only",
    )
    flower_password: SecretStr | None = Field(
        None, validation_alias=AliasChoices("MATERIA_FLOWER_PASSWORD", "FLOWER_PASSWORD")
    )
    flower_port: Annotated[int, Field(ge=1, le=65535)] = Field(
        5555,
        validation_alias=AliasChoices("MATERIA_FLOWER_PORT", "FLOWER_PORT"),
        description="port of the Flower of `materia up --flower`",
    )
    max_upload_bytes: Annotated[int, Field(ge=1)] = Field(
        2_000_000_000, description="a dataset that is sent to the server may be so large"
    )

    requests_per_s: Annotated[float, Field(gt=0)] = Field(
        1000.0, description="requests of one key a second, on average over ten seconds"
    )
    changes_per_s: Annotated[float, Field(gt=0)] = Field(
        300.0, description="requests of one key that change something, likewise"
    )
    max_waiting_jobs: Annotated[int, Field(ge=1)] = Field(
        20_000, description="jobs of one owner that may wait; more are refused"
    )
    max_waiting_jobs_in_all: Annotated[int, Field(ge=1)] = Field(
        200_000, description="jobs that may wait in all"
    )

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
    gpu_patience_s: Annotated[float, Field(gt=0)] = Field(
        30.0,
        description="jobs that wait for a GPU worker go on in the queue `default` when none has "
        "been there for so long",
    )
    torch: Literal["auto", "cpu", "off"] = Field(
        "auto",
        description="of a GPU worker: fit surrogates with PyTorch on its GPU, on the CPU, or not",
    )
    processes_per_job: Annotated[int, Field(ge=1, le=1024)] = Field(
        2,
        description="processes, of this machine or a cluster, that one job uses at a time",
    )
    ray_address: str | None = Field(
        None,
        validation_alias=AliasChoices("MATERIA_RAY_ADDRESS", "RAY_ADDRESS"),
        description="host:port of the head of a Ray cluster, or file:PATH of a file that names it; "
        "default: processes of this machine",
    )
    ray_token: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("MATERIA_RAY_TOKEN", "RAY_AUTH_TOKEN"),
        description="what the Ray cluster asks of everybody who connects",
    )
    ray_dashboard_url: str | None = Field(
        None, description="HTTP interface of the Ray head; default: its port 8265"
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
    notify_channels: SecretStr | None = Field(
        None, description="where notifications go; JSON: {name: address, or a list of addresses}"
    )
    notify_allow_hosts: str = Field(
        "",
        description="names, addresses or networks of the local network that notifications may be "
        "sent to, separated by ','",
    )
    evaluator_allow_hosts: str = Field(
        "",
        description="names, addresses or networks of the local network that the evaluator `http` "
        "may ask, separated by ','; in development it may ask the whole local network",
    )
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = Field(
        None, description="port on which a worker or scheduler shows figures of its process"
    )
    metrics_host: str = Field("127.0.0.1", description="address of that port")
    alive_file: Path | None = Field(
        None, description="touched by a worker or scheduler as often as it looks, for health checks"
    )
    low_disk_bytes: Annotated[int, Field(ge=0)] = Field(
        1_000_000_000, description="less free space for the data folder is reported"
    )
    keep_jobs_days: Annotated[float, Field(gt=0)] = Field(
        30.0, description="jobs that ended, their logs and the runs of schedules are kept so long"
    )
    keep_events_days: Annotated[float, Field(gt=0)] = Field(
        90.0, description="events of campaigns that ended are kept so long"
    )
    keep_predictions_days: Annotated[float, Field(gt=0)] | None = Field(
        None, description="files of `batch_predictions` are kept so long; none is for ever"
    )
    keep_exports_days: Annotated[float, Field(gt=0)] = Field(
        7.0, description="files of `export_results` are kept so long"
    )
    keep_audit_days: Annotated[float, Field(gt=0)] = Field(
        90.0, description="who changed what, and what was refused, is kept so long"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @field_validator("notify_channels")
    @classmethod
    def _are_channels(cls, given: SecretStr | None) -> SecretStr | None:
        if given is not None:
            _channels(given.get_secret_value())
        return given

    @cached_property
    def channels(self) -> dict[str, tuple[str, ...]]:
        """Addresses of each channel of notifications; secret."""
        given = self.notify_channels
        return {} if given is None else _channels(given.get_secret_value())

    @field_validator("database_url")
    @classmethod
    def _is_known_database(cls, url: str | None) -> str | None:
        # The URL itself may hold a password and is not repeated.
        if url and ("://" not in url or url.partition("://")[0].partition("+")[0] not in DATABASES):
            raise ValueError(
                "MATERIA_DATABASE_URL must be a URL of SQLite or PostgreSQL, such as"
                " sqlite:////folder/materia.db or postgresql://user:password@host:5432/name"
            )
        return url

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


def _channels(text: str) -> dict[str, tuple[str, ...]]:
    """Read the channels of notifications; what is refused is not repeated, for it is secret."""
    if not text.strip():
        return {}
    try:
        given = json.loads(text)
    except ValueError:
        raise ValueError(f"it is not JSON; write {CHANNELS_EXAMPLE}") from None
    if not isinstance(given, dict):
        raise ValueError(f"it is no JSON object; write {CHANNELS_EXAMPLE}")
    found = {}
    for name, addresses in given.items():
        if not CHANNEL_NAME.fullmatch(name):
            raise ValueError("a channel is named by 1 to 64 letters, digits, '_' and '-'")
        listed = [addresses] if isinstance(addresses, str) else addresses
        are_addresses = isinstance(listed, list) and all(
            isinstance(address, str) and "://" in address for address in listed
        )
        if not are_addresses or not listed:
            raise ValueError(f"channel '{name}' is no address and no list of addresses")
        found[name] = tuple(listed)
    return found


@lru_cache(maxsize=1)
def current() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()
