"""A campaign's own data as a table, and a model trained on it."""

from __future__ import annotations

import csv
import hashlib
import io
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from materia.errors import DefinitionError, StateError
from materia.mdl import Definition
from materia.mdl.definition import CategoricalParameter
from materia.mdl.suggest import did_you_mean
from materia.services import campaigns, earlier, files, outcomes, submission
from materia.services.idempotency import Once
from materia.services.submission import NewJob
from materia.services.work import unit_of_work
from materia.store.campaigns import CandidateState

TASK = "tasks.ml_tasks.distributed_training"
ID = "id"
MIN_ROWS = 10
FEW_ROWS = 1000
"""Up to so many rows one Gaussian process learns from all of them; then forests on partitions."""


@dataclass(frozen=True)
class Evaluated:
    """What a campaign knows, as a table.

    Attributes:
        rows: id, params in the user's units, outcomes; earlier measurements first.
        n_failed: Candidates that gave no outcome, which are not among the rows.
    """

    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    n_failed: int


def train(
    campaign_id: str,
    objective: str | None = None,
    model_config: Mapping[str, Any] | None = None,
    *,
    requested_by: str | None = None,
    owner: str | None = None,
    once: Once | None = None,
) -> dict[str, Any]:
    """Write what a campaign has measured as a dataset, and submit the training of a model on it.

    Args:
        objective: What the model predicts; may be left out where there is one.
        model_config: As of `distributed_training`; columns and task are known.
        once: A request that trains one model, however often it comes.

    Returns:
        task_id, dataset_path, n_rows, n_failed.

    Raises:
        NotFoundError: There is no such campaign.
        DefinitionError: There is no such objective, or the configuration contradicts it.
        StateError: The campaign has measured too little.
    """
    if once is not None and (known := once.known_answer()) is not None:
        return known
    definition = Definition.model_validate(campaigns.get(campaign_id)["definition"])
    chosen = _objective(definition, objective)
    table = evaluated(campaign_id, definition)
    n_rows = sum(row.get(chosen) is not None for row in table.rows)
    if n_rows < MIN_ROWS:
        raise StateError(
            f"campaign {definition.name!r} has measured '{chosen}' {n_rows} times",
            f"a model needs {MIN_ROWS} measurements; try again when there are more",
        )
    config = _config(definition, chosen, model_config or {}, n_rows)
    path = _write(campaign_id, table)
    job = NewJob(
        task=TASK,
        id=str(uuid.uuid4()),
        kwargs={"model_config": config, "dataset_path": path},
        requested_by=requested_by,
        owner=owner,
    )
    answer = {
        "task_id": job.id,
        "dataset_path": path,
        "n_rows": n_rows,
        "n_failed": table.n_failed,
    }
    with unit_of_work() as work:
        if once is not None and (known := once.keep(work, answer)) is not None:
            return known
        submission.add(work, [job])
    return answer


def evaluated(campaign_id: str, definition: Definition) -> Evaluated:
    """Return all measurements of a campaign, those that it began with included."""
    candidates, _ = campaigns.candidates(campaign_id)
    began = earlier.rows_of(definition.model_dump(mode="json"))
    rows = [
        {ID: f"a{i:04d}", **row["params"], **(outcomes.values(row["outcomes"]) or {})}
        for i, row in enumerate(began, start=1)
    ]
    for candidate in candidates:
        if candidate["state"] == CandidateState.TOLD:
            told = outcomes.values(candidate["outcomes"]) or {}
            rows.append({ID: candidate["id"], **candidate["params"], **told})
    names = [name for row in rows[:1] for name in row if name != ID]
    others = [o.name for o in definition.objectives if o.name not in names]
    n_failed = sum(candidate["state"] == CandidateState.FAILED for candidate in candidates)
    return Evaluated((ID, *names, *others), rows, n_failed)


def _objective(definition: Definition, given: str | None) -> str:
    names = [objective.name for objective in definition.objectives]
    if given is None and len(names) == 1:
        return names[0]
    if given is None:
        raise DefinitionError(
            "objective: is missing", f"name one of {', '.join(names)}", path="objective"
        )
    if given not in names:
        raise DefinitionError(
            f"objective: there is no objective {given!r}",
            did_you_mean(given, names),
            path="objective",
        )
    return given


def _config(
    definition: Definition, objective: str, given: Mapping[str, Any], n_rows: int
) -> dict[str, Any]:
    """Return the configuration, with what the campaign knows of its columns."""
    known: dict[str, Any] = {"target": objective, "task": "regression"}
    for key, value in known.items():
        if given.get(key, value) != value:
            raise DefinitionError(
                f"model_config.{key}: is {value!r} for this objective, not {given[key]!r}",
                "leave it out",
                path=f"model_config.{key}",
            )
    others = [o.name for o in definition.objectives if o.name != objective]
    excluded = given.get("exclude", [])
    if not isinstance(excluded, list):
        raise DefinitionError(
            "model_config.exclude: must be a list of columns",
            "for example exclude: [power]",
            path="model_config.exclude",
        )
    types = given.get("types", {})
    if not isinstance(types, dict):
        raise DefinitionError(
            "model_config.types: must be a mapping of columns to types",
            "for example types: {gas: category}",
            path="model_config.types",
        )
    few = {"estimator": "gp", "num_partitions": 1} if n_rows <= FEW_ROWS else {}
    return {
        "name": f"{definition.name}-{objective}"[:90],
        **few,
        **given,
        **known,
        "exclude": [*dict.fromkeys([ID, *others, *excluded])],
        "types": {**_categories(definition), **types},
    }


def _categories(definition: Definition) -> dict[str, str]:
    """Return the parameters that are categories, whatever their cells look like."""
    return {
        parameter.name: "category"
        for parameter in definition.parameters
        if isinstance(parameter, CategoricalParameter)
        and not all(type(choice) in (int, float) for choice in parameter.choices)
    }


def _write(campaign_id: str, table: Evaluated) -> str:
    """Write the table under a name that follows from its content, whole or not at all."""
    from materia.report.files import write_whole

    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_cell(row.get(name)) for name in table.columns] for row in table.rows)
    content = buffer.getvalue().encode()
    digest = hashlib.sha256(content).hexdigest()
    path = files.writable(f"campaigns/{campaign_id}/evaluations-{digest[:16]}.csv")
    if not path.exists():
        write_whole(path, content)
    return files.shown(path)


def _cell(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value
