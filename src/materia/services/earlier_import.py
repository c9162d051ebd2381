"""Earlier measurements, given to a campaign that has not started yet.

They become a table below the data root that the definition names as its `warm_start`, so that they
are read, kept and cloned as any other. The table bears its hash in its name: what was begun and not
finished leaves at most a file that nothing names.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from materia import settings
from materia.errors import ConflictError, StateError
from materia.mdl import Definition, Finding
from materia.mdl.definition import WarmStart
from materia.mdl.finding import as_error
from materia.services import campaign_life as life
from materia.services import campaigns, earlier
from materia.services.work import unit_of_work
from materia.store import campaigns as campaign_rows
from materia.store.campaigns import CampaignState
from materia.store.jobs import Row

ERROR_SUFFIX = " (standard error)"
# So many bad rows are named one by one.
MOST_NAMED = 1000


def take(
    campaign_id: str,
    content: bytes,
    choice: WarmStart,
    *,
    replace: bool = False,
    are_lines: bool = True,
) -> Row:
    """Give a campaign the rows of a CSV file; all of them are taken in, or nothing changes.

    Args:
        content: The file.
        choice: How it is to be read; names no dataset yet.
        replace: Whether rows that it was given before are dropped.
        are_lines: Whether people know the rows as lines of a file.

    Returns:
        campaign_id, dataset, sha256, n_rows, and the faults of the rows that were `skipped`.

    Raises:
        NotFoundError: There is no such campaign.
        StateError: It has started.
        ConflictError: It has other earlier data.
        DefinitionError: Rows cannot be used; one finding for each.
        DataError: The file is no table, or lacks a column.
    """
    campaign = _require_created(campaigns.get(campaign_id))
    digest = hashlib.sha256(content).hexdigest()
    name = f"campaigns/{campaign_id}/earlier-{digest[:16]}.csv"
    chosen = choice.model_copy(update={"dataset": name})
    definition = Definition.model_validate(campaign["definition"]).model_copy(
        update={"warm_start": chosen}
    )
    _require_free(campaign, digest, replace)
    rows, skipped = _rows(definition, content, are_lines)
    pinned = definition.model_copy(
        update={"warm_start": chosen.model_copy(update={"sha256": digest})}
    )
    _write(settings.current().data_root / name, content)
    earlier.keep(pinned)
    with unit_of_work() as work:
        locked = campaign_rows.lock(work.connection, campaign_id)
        if locked is None:
            raise campaigns.unknown(campaign_id)
        _require_free(_require_created(locked), digest, replace)
        values = {"definition": pinned.model_dump(mode="json")}
        life.change_state(work, locked, CampaignState.CREATED, values)
    return {
        "campaign_id": campaign_id,
        "dataset": name,
        "sha256": digest,
        "n_rows": len(rows),
        "skipped": skipped,
    }


def take_rows(
    campaign_id: str,
    rows: Sequence[Mapping[str, Mapping[str, Any]]],
    *,
    skips: bool = False,
    replace: bool = False,
) -> Row:
    """Give a campaign rows of ``params`` and ``outcomes``, as `take` does those of a file.

    Args:
        rows: An outcome is a value, or a value and its standard error.
        skips: Whether rows that cannot be used are left out.
    """
    definition = Definition.model_validate(campaigns.get(campaign_id)["definition"])
    choice = WarmStart(
        dataset="rows",
        sem={objective.name: _error_of(objective.name) for objective in definition.objectives},
        bad_rows="skip" if skips else "reject",
    )
    content = _table(definition, rows)
    return take(campaign_id, content, choice, replace=replace, are_lines=False)


def _require_created(campaign: Row) -> Row:
    if campaign["state"] != CampaignState.CREATED:
        raise StateError(
            f"campaign {campaign['name']!r} is {campaign['state']}: earlier data are given before "
            "it starts",
            "create a campaign without starting it: `materia campaign create FILE`; "
            "people's results of its own candidates are told by `materia campaign tell`",
        )
    return campaign


def _require_free(campaign: Row, digest: str, replace: bool) -> None:
    known = campaign["definition"].get("warm_start")
    if known and known["sha256"] != digest and not replace:
        raise ConflictError(
            f"campaign {campaign['name']!r} begins with {known['dataset']!r} already",
            "ask to replace it, or put the rows of both into one file",
        )


def _rows(
    definition: Definition, content: bytes, are_lines: bool
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the usable rows, and why others are left out."""
    from materia.evaluators import warm_start

    assert definition.warm_start is not None
    with TemporaryDirectory(prefix="materia-earlier-") as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(content)
        found = warm_start.look(definition, path)
    faults = [_finding(fault, are_lines) for fault in found.faults]
    is_strict = definition.warm_start.bad_rows == "reject"
    if faults and (is_strict or not found.rows):
        raise as_error(faults[:MOST_NAMED])
    return warm_start.usable(definition, found).rows, [str(one) for one in faults]


def _finding(fault: str, are_lines: bool) -> Finding:
    """Return what is wrong with a row, at its line or at its place in a list."""
    line, _, rest = fault.partition(": ")
    number = int(line.removeprefix("line "))
    message = rest.replace(f"{line}: ", "").replace(f"{line}, ", "")
    if are_lines:
        return Finding("error", "", number, message)
    return Finding("error", f"rows[{number - 2}]", None, message)


def _write(path: Path, content: bytes) -> None:
    from materia.report.files import write_whole

    if not path.exists():
        write_whole(path, content)


def _table(definition: Definition, rows: Sequence[Mapping[str, Mapping[str, Any]]]) -> bytes:
    """Return rows as a CSV file; `DefinitionError` for names that nothing has."""
    from materia.evaluators.base import inputs

    params = [item.name for item in inputs(definition)]
    outcomes = [objective.name for objective in definition.objectives]
    text = io.StringIO(newline="")
    lines = csv.writer(text)
    lines.writerow([*params, *outcomes, *map(_error_of, outcomes)])
    faults: list[tuple[int, str]] = []
    for number, row in enumerate(rows):
        unknown = [name for name in row["params"] if name not in params]
        unknown += [name for name in row["outcomes"] if name not in outcomes]
        faults += [(number, f"nothing is named {name!r:.80}") for name in unknown]
        told = [_pair(row["outcomes"].get(name)) for name in outcomes]
        given = [row["params"].get(name, "") for name in params]
        lines.writerow([*map(_cell, given), *(p[0] for p in told), *(p[1] for p in told)])
    if faults:
        fix = "give parameters and objectives by their names in the definition"
        named = [
            Finding("error", f"rows[{number}]", None, fault, fix)
            for number, fault in faults[:MOST_NAMED]
        ]
        raise as_error(named)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _pair(outcome: Any) -> tuple[str, str]:
    if isinstance(outcome, list | tuple):
        mean, error = (*outcome, "", "")[:2]
        return _cell(mean), _cell(error)
    return ("" if outcome is None else _cell(outcome)), ""


def _error_of(objective: str) -> str:
    return f"{objective}{ERROR_SUFFIX}"
