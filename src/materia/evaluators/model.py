"""Evaluator `model`: a trained model of tables answers instead of an experiment.

Which file answers is settled by content: the hash of every model file is kept with a campaign from
its start on, and a file that was replaced meanwhile is an error. Model files are data only; what
they hold is loaded by `materia.ml.model_file`, when the first candidate is evaluated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from materia import settings
from materia.errors import DataError, EvaluationError, MateriaError, NotFoundError
from materia.evaluators.base import (
    Evaluation,
    Evaluator,
    Options,
    error_at,
    inputs,
    warning_at,
)
from materia.evaluators.model_features import (
    OPTIONS,
    Feature,
    Value,
    encode,
    match,
    place_of,
)
from materia.evaluators.places import Places
from materia.mdl.definition import Definition
from materia.mdl.finding import Finding
from materia.mdl.suggest import did_you_mean
from materia.ml.schema import Schema

if TYPE_CHECKING:
    from materia.ml.ensemble import Answer
    from materia.ml.model_file import Model

_KINDS = ("model_id", "model_path")
_OTHER_FILE = "remove 'sha256' to use the file as it is now, or restore the one that was meant"

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class ModelOptions(Options):
    """Options of the evaluator `model`."""

    model_id: str | dict[str, str] | None = None
    model_path: str | dict[str, str] | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    fixed: dict[str, Value] = Field(default_factory=dict)
    probability_of: Value | dict[str, Value] | None = None
    standard_error: bool = False
    sha256: dict[str, Hash] = Field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """The model of one objective.

    Attributes:
        name: Its path as the definition has it, or its id; a name of a retrained model that the
            definition has stands for the champion's.
        path: Of its file.
        sha256: Of the whole file.
        card: What the model says of itself.
        schema: Of its card.
        features: Where its features come from.
        label: Place of the class whose probability is the outcome; None for a value.
    """

    name: str
    path: Path
    sha256: str
    card: Mapping[str, Any]
    schema: Schema
    features: Sequence[Feature] = ()
    label: int | None = None

    @property
    def has_std(self) -> bool:
        """Whether the model knows how sure it is."""
        results = self.card.get("training", {}).get("results", [])
        n_members = len(
            self.card.get("members") or [r for r in results if r.get("status") == "success"]
        )
        is_sure = self.card.get("estimator") != "gp" and n_members < 2
        return self.schema.task == "regression" and not is_sure


class ModelEvaluator(Evaluator):
    """Predicts each objective with a model of its own."""

    options_model = ModelOptions
    cheap = True

    def __init__(self, definition: Definition, options: ModelOptions, places: Places) -> None:
        super().__init__(definition, options, places)
        self._sources, _ = _sources(definition, options, places)
        self._models: dict[Path, Model] = {}

    @classmethod
    def findings(
        cls, definition: Definition, options: ModelOptions, places: Places
    ) -> list[Finding]:
        """Find the models, and compare their features with the parameters."""
        sources, findings = _sources(definition, options, places)
        findings += _unused_options(definition, options, sources)
        used = {f.parameter for source in sources.values() for f in source.features}
        is_whole = len(sources) == len(definition.objectives)
        for item in inputs(definition):
            if is_whole and item.name not in used:
                message = f"no model has the feature '{item.name}', so that it changes nothing"
                fix = "leave the parameter out, or name its feature in options.columns"
                findings.append(warning_at(item.path, message, fix))
        return findings

    def pinned(self) -> dict[str, Any]:
        """Return the options with the hash of every file, and the ids of champions by now."""
        hashes = {objective: source.sha256 for objective, source in self._sources.items()}
        options = self.options.model_dump(mode="json", exclude_defaults=True)
        given = options.get("model_id")
        if isinstance(given, dict):
            options["model_id"] = {name: self._sources[name].name for name in given}
        elif given is not None:
            (options["model_id"],) = {source.name for source in self._sources.values()}
        return options | {"sha256": hashes}

    def evaluate(self, params: Mapping[str, Any], *, seed: int) -> Evaluation:
        """Return what the models predict; deterministic, the seed is not used."""
        found = self.evaluate_many([(params, seed)])[0]
        if isinstance(found, EvaluationError):
            raise found
        return found

    def evaluate_many(
        self, batch: Sequence[tuple[Mapping[str, Any], int]]
    ) -> list[Evaluation | EvaluationError]:
        """Return predictions, with one call per model; the same as one by one, bit for bit."""
        columns: dict[str, NDArray[np.float64]] = {}
        errors: dict[str, NDArray[np.float64]] = {}
        for objective, source in self._sources.items():
            answer = self._answer(source, encode(source.features, (params for params, _ in batch)))
            columns[objective] = answer.values
            if source.label is not None and answer.probabilities is not None:
                columns[objective] = answer.probabilities[:, source.label]
            if self.options.standard_error and answer.std is not None:
                errors[objective] = answer.std
        return [self._evaluation(i, columns, errors) for i in range(len(batch))]

    def _evaluation(
        self,
        i: int,
        columns: Mapping[str, NDArray[np.float64]],
        errors: Mapping[str, NDArray[np.float64]],
    ) -> Evaluation | EvaluationError:
        outcomes = {objective: float(values[i]) for objective, values in columns.items()}
        for objective, outcome in outcomes.items():
            if not math.isfinite(outcome):
                name = self._sources[objective].name
                return EvaluationError(f"model '{name}' predicts {outcome} for '{objective}'")
        models = {objective: source.name for objective, source in self._sources.items()}
        spread = {objective: float(std[i]) for objective, std in errors.items()}
        return Evaluation(outcomes, {"models": models}, spread)

    def _answer(self, source: Source, X: NDArray[np.float64]) -> Answer:
        from materia.ml.ensemble import Answer

        model = self._loaded(source)
        if not len(X):
            return Answer(np.zeros(0))
        # Models that multiply matrices take each row on its own: how a product is summed may
        # depend on the number of rows.
        size = 1 if source.card.get("estimator") in ("gp", "linear") else len(X)
        parts = [_rows(model, X[i : i + size]) for i in range(0, len(X), size)]
        return Answer(
            np.concatenate([part.values for part in parts]),
            _together([part.std for part in parts]),
            _together([part.probabilities for part in parts]),
        )

    def _loaded(self, source: Source) -> Model:
        from materia.ml.model_file import read_model

        if source.path not in self._models:
            self._models[source.path] = read_model(source.path, source.sha256)
        return self._models[source.path]


def _rows(model: Model, X: NDArray[np.float64]) -> Answer:
    """Return the answer for rows (n, d), never asking for a single one.

    A mean over the members of an ensemble is summed in another order for one row than for several.
    """
    if len(X) > 1:
        return model.answer(X)
    answer = model.answer(np.repeat(X, 2, axis=0))
    std, probabilities = answer.std, answer.probabilities
    return replace(
        answer,
        values=answer.values[:1],
        std=None if std is None else std[:1],
        probabilities=None if probabilities is None else probabilities[:1],
    )


def _together(parts: Sequence[NDArray[np.float64] | None]) -> NDArray[np.float64] | None:
    known = [part for part in parts if part is not None]
    return np.concatenate(known) if known else None


def _sources(
    definition: Definition, options: ModelOptions, places: Places
) -> tuple[dict[str, Source], list[Finding]]:
    """Return the model of each objective where all is well with it, and all findings."""
    objectives = [objective.name for objective in definition.objectives]
    findings = _unknown_objectives(options, objectives)
    sources: dict[str, Source] = {}
    for objective in objectives:
        try:
            kind, name, path = _named(options, objective)
        except DataError as error:
            findings.append(error_at(OPTIONS, error.message, error.hint))
            continue
        try:
            source = _found(kind, name, places)
        except MateriaError as error:
            findings.append(error_at(path, error.message, error.hint))
            continue
        source, found = _fitted(source, objective, definition, options)
        findings += found
        findings += _hash_findings(source, options.sha256.get(objective), objective)
        if not found:
            sources[objective] = source
    return sources, [*dict.fromkeys(findings), *_twins(sources)]


def _unknown_objectives(options: ModelOptions, objectives: list[str]) -> list[Finding]:
    findings = []
    for key in (*_KINDS, "probability_of", "sha256"):
        given = getattr(options, key)
        for name in given if isinstance(given, dict) else ():
            if name not in objectives:
                message, fix = f"'{name}' is no objective", did_you_mean(name, objectives)
                findings.append(error_at(f"{OPTIONS}.{key}.{name}", message, fix))
    return findings


def _named(options: ModelOptions, objective: str) -> tuple[str, str, str]:
    """Return how the model of an objective is named, its name, and where that is written."""
    found = []
    for kind in _KINDS:
        given = getattr(options, kind)
        if isinstance(given, dict) and objective in given:
            found.append((kind, given[objective], f"{OPTIONS}.{kind}.{objective}"))
        elif isinstance(given, str):
            found.append((kind, given, f"{OPTIONS}.{kind}"))
    if len(found) == 1:
        return found[0]
    if found:
        raise DataError(
            f"objective '{objective}' has both a model_id and a model_path", "keep one of the two"
        )
    raise DataError(
        f"objective '{objective}' has no model",
        f"add model_id: {{{objective}: ID}}, or model_path for a file",
    )


def _found(kind: str, name: str, places: Places) -> Source:
    """Return a model without the match of its features."""
    if kind == "model_path":
        from materia.ml.model_file import read_card

        path = places.find(name)
        card = read_card(path)
        return Source(name, path, _digest_of(path), card, Schema.from_data(card.get("schema")))
    row = _registered(name)
    # An absolute path of the row replaces the data root.
    path = places.find(str(settings.current().data_root / row["path"]))
    digest = _digest_of(path)
    if digest != row["sha256"]:
        raise DataError(
            f"the file of model '{name}' is not the one that was registered",
            "restore it from a copy, or train the model again",
        )
    schema = Schema.from_data(row["card"].get("schema"))
    return Source(row["id"], path, digest, row["card"], schema)


def _registered(model_id: str) -> dict[str, Any]:
    from materia.store import models
    from materia.store.database import database

    config = settings.current()
    is_new = config.database_url is None and not (config.data_dir / "materia.db").exists()
    row = None
    if not is_new:
        with database().read() as connection:
            row = models.named(connection, model_id)
    if row is None:
        raise NotFoundError(
            f"there is no model '{model_id}'" + (f" on '{config.data_dir}'" if is_new else ""),
            "training tells the id of a model; an entry of the retraining table stands for its"
            " champion once it has one; model_path names a file",
        )
    return row


def _digest_of(path: Path) -> str:
    found = path.stat()
    return _digest(path, found.st_mtime_ns, found.st_size, found.st_ino)


@lru_cache(maxsize=32)
def _digest(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fitted(
    source: Source, objective: str, definition: Definition, options: ModelOptions
) -> tuple[Source, list[Finding]]:
    """Return a source with its features and its class, and what does not fit."""
    items = {item.name: item for item in inputs(definition)}
    declared = items | {options.columns.get(name, name): item for name, item in items.items()}
    features, findings = match(source.schema, source.name, declared, options.fixed)
    label, found = _label(source, objective, options)
    if options.standard_error and not found and not source.has_std:
        message = f"model '{source.name}' does not know how sure it is of '{objective}'"
        fix = "train with num_partitions above 1 or estimator gp, or leave standard_error out"
        found.append(error_at(f"{OPTIONS}.standard_error", message, fix))
    return replace(source, features=features, label=label), [*findings, *found]


def _label(
    source: Source, objective: str, options: ModelOptions
) -> tuple[int | None, list[Finding]]:
    given, path = options.probability_of, f"{OPTIONS}.probability_of"
    if isinstance(given, dict):
        path = f"{path}.{objective}"
        given = given.get(objective)
    classes = source.schema.classes
    listed = ", ".join(str(label) for label in classes[:10])
    if source.schema.task == "regression":
        return None, _no_classes(given, path, source)
    if given is None:
        message = f"model '{source.name}' tells classes, which cannot be optimised"
        fix = f"add probability_of: one of {listed}; its probability is the outcome"
        return None, [error_at(OPTIONS, message, fix)]
    place = place_of(given, classes)
    if place is None:
        message = f"model '{source.name}' has no class '{given}'"
        return None, [error_at(path, message, did_you_mean(str(given), map(str, classes)))]
    return place, []


def _no_classes(given: Value | None, path: str, source: Source) -> list[Finding]:
    if given is None:
        return []
    message = f"model '{source.name}' predicts a number, not classes"
    return [error_at(path, message, "leave probability_of out for it")]


def _hash_findings(source: Source, wanted: str | None, objective: str) -> list[Finding]:
    if wanted is None or wanted == source.sha256:
        return []
    message = f"the file of model '{source.name}' has changed: its hash is no longer the one given"
    return [error_at(f"{OPTIONS}.sha256.{objective}", message, _OTHER_FILE)]


def _twins(sources: Mapping[str, Source]) -> list[Finding]:
    """Report objectives that would always have the same outcome."""
    seen: dict[tuple[str, int | None], str] = {}
    findings = []
    for objective, source in sources.items():
        first = seen.setdefault((source.sha256, source.label), objective)
        if first != objective:
            message = f"'{objective}' and '{first}' are predicted by the same model"
            fix = "name a model for each: model_id: {objective: ID}"
            findings.append(error_at(OPTIONS, message, fix))
    return findings


def _unused_options(
    definition: Definition, options: ModelOptions, sources: Mapping[str, Source]
) -> list[Finding]:
    """Report names in options that mean nothing."""
    names = [item.name for item in inputs(definition)]
    findings = [
        error_at(
            f"{OPTIONS}.columns.{name}", f"nothing is named '{name}'", did_you_mean(name, names)
        )
        for name in options.columns
        if name not in names
    ]
    known = {name for source in sources.values() for name in source.schema.names}
    declared = {*names, *options.columns.values()}
    for name in options.fixed if len(sources) == len(definition.objectives) else ():
        if name not in known:
            message = f"no model has a feature '{name}'"
            findings.append(
                error_at(f"{OPTIONS}.fixed.{name}", message, did_you_mean(name, sorted(known)))
            )
        elif name in declared:
            message = f"'{name}' is a parameter and fixed at the same time"
            findings.append(error_at(f"{OPTIONS}.fixed.{name}", message, "keep one of the two"))
    return findings
