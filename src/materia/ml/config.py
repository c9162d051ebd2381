"""`model_config`: our keys told from the estimator's, all of them checked before work starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from materia.errors import DefinitionError
from materia.mdl.suggest import did_you_mean
from materia.ml.forests import Wish
from materia.ml.schema import ColumnKind, Task

DEFAULT_PARTITIONS = 4
MAX_PARTITIONS = 1000
Name = Annotated[str, Field(min_length=1, max_length=1000)]


class TrainingConfig(BaseModel):
    """What `model_config` says beside the estimator's own parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")] | None = Field(
        None, description="name of the model"
    )
    estimator: str = Field("random_forest", description="what learns; a name of the table")
    target: Name | None = Field(None, description="column to predict; else 'target' or the last")
    task: Task | None = Field(None, description="else inferred from the target")
    features: list[Name] | None = Field(None, min_length=1, description="columns to learn from")
    exclude: list[Name] = Field(default_factory=list, description="columns to leave alone")
    types: dict[Name, ColumnKind] = Field(default_factory=dict, description="types of columns")
    delimiter: str = Field(",", pattern=r"^[,;|\t]$", description="of CSV files")
    num_partitions: int | None = Field(
        None, ge=1, le=MAX_PARTITIONS, description="else the parts of the dataset, or 4"
    )
    test_size: float = Field(0.2, ge=0.01, le=0.9, description="share of rows held out")
    seed: int = Field(0, ge=0, lt=2**32, description="decides every random choice")
    metric: str | None = Field(None, description="what the score is; else r2 or accuracy")
    backend: Wish = Field(
        "auto", description="what grows random forests; auto is intelex where it can"
    )


@dataclass(frozen=True)
class ModelConfig:
    """A checked `model_config`.

    Attributes:
        training: Our keys.
        params: The estimator's own.
    """

    training: TrainingConfig
    params: dict[str, Any]

    def to_data(self) -> dict[str, Any]:
        """Return the configuration as one mapping, the way that `parse_config` reads it."""
        return self.training.model_dump(exclude_none=True, exclude_defaults=True) | {
            "estimator": self.training.estimator,
            "seed": self.training.seed,
            **self.params,
        }


def parse_config(data: Any, path: str = "model_config", *, is_light: bool = False) -> ModelConfig:
    """Return a checked configuration; no file is read for it.

    Args:
        is_light: Ask the table of parameters and not the estimator, so that no library that learns
            is loaded.

    Raises:
        DefinitionError: Keys are unknown or values impossible; names all of them.
    """
    from materia.ml import metrics, parameters

    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise DefinitionError(f"'{path}' must be a mapping of names to values", path=path)
    own = {key: value for key, value in data.items() if key in TrainingConfig.model_fields}
    params = {key: value for key, value in data.items() if key not in own}
    training = _training(own, path)
    metrics.check(training.metric, training.task, f"{path}.metric")
    if is_light:
        parameters.check(training.estimator, training.task, params, path, own=TrainingConfig)
    else:
        from materia.ml import estimators, forests

        estimators.check(training.estimator, training.task, params, path, own=TrainingConfig)
        forests.check(training.backend, training.estimator, params, training.task, path)
    return ModelConfig(training, params)


def _training(own: Mapping[str, Any], path: str) -> TrainingConfig:
    try:
        return TrainingConfig.model_validate(own)
    except ValidationError as error:
        findings = []
        for fault in error.errors():
            place = ".".join([path, *map(str, fault["loc"])])
            findings.append({"path": place, "message": fault["msg"]})
    message = "; ".join(f"{found['path']}: {found['message']}" for found in findings[:5])
    raise DefinitionError(message, path=findings[0]["path"], findings=findings)


def unknown_key(key: str, allowed: list[str], path: str) -> DefinitionError:
    """Return the error for a key that means nothing here."""
    return DefinitionError(
        f"{path}: '{key}' is unknown", did_you_mean(key, allowed), path=f"{path}.{key}"
    )
