"""Campaign, iteration, candidate and evaluation rows."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy import delete as sql_delete

from materia.store import paging
from materia.store.database import Database
from materia.store.tables import campaigns, candidates, evaluations, events, iterations

Row = dict[str, Any]


# A pool may have thousands of rows.
_LISTED = tuple(column for column in campaigns.c if column is not campaigns.c.pool)

# SQLite bounds the variables of a statement.
_IDS_AT_A_TIME = 500


class CampaignState(StrEnum):
    """States of a campaign; the last four are final."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"
    COMPLETED = "completed"
    CONVERGED = "converged"
    STOPPED = "stopped"
    FAILED = "failed"


FINAL_CAMPAIGN = (
    CampaignState.COMPLETED,
    CampaignState.CONVERGED,
    CampaignState.STOPPED,
    CampaignState.FAILED,
)


class CandidateState(StrEnum):
    """States of a candidate."""

    PROPOSED = "proposed"
    TOLD = "told"
    FAILED = "failed"
    CANCELLED = "cancelled"


def add(connection: Connection, row: Row) -> None:
    """Insert a campaign."""
    connection.execute(insert(campaigns).values(row))


def get(connection: Connection, campaign_id: str) -> Row | None:
    """Return one campaign, or None."""
    query = select(campaigns).where(campaigns.c.id == campaign_id)
    row = connection.execute(query).mappings().first()
    return dict(row) if row else None


def lock(connection: Connection, campaign_id: str) -> Row | None:
    """Return one campaign and hold its row until the transaction ends; its version grows."""
    statement = (
        update(campaigns)
        .where(campaigns.c.id == campaign_id)
        .values(version=campaigns.c.version + 1)
        .returning(*campaigns.c)
    )
    row = connection.execute(statement).mappings().first()
    return dict(row) if row else None


def change(connection: Connection, campaign_id: str, values: Row) -> None:
    """Write columns of a campaign that the caller has locked."""
    connection.execute(update(campaigns).where(campaigns.c.id == campaign_id).values(values))


def delete(connection: Connection, campaign_id: str) -> None:
    """Delete a campaign with everything that was asked and told; its jobs stay."""
    connection.execute(sql_delete(evaluations).where(evaluations.c.campaign_id == campaign_id))
    connection.execute(sql_delete(events).where(events.c.topic == f"campaign:{campaign_id}"))
    connection.execute(sql_delete(campaigns).where(campaigns.c.id == campaign_id))


def page(
    connection: Connection,
    *,
    limit: int,
    before: tuple[float, str] | None = None,
    state: str | None = None,
    name: str | None = None,
    owner: str | None = None,
) -> tuple[list[Row], int]:
    """Return a page of campaigns without their pools, newest first, and how many match in all."""
    return paging.newest_first(
        connection,
        campaigns,
        _LISTED,
        by="created_at",
        filters={"state": state, "name": name, "owner": owner},
        limit=limit,
        before=before,
    )


def not_ended(connection: Connection) -> list[Row]:
    """Return id and definition of the campaigns that have not ended."""
    columns = (campaigns.c.id, campaigns.c.definition)
    query = select(*columns).where(campaigns.c.state.not_in(FINAL_CAMPAIGN))
    return paging.rows_of(connection.execute(query))


def add_iteration(
    database: Database, connection: Connection, campaign_id: str, iteration: int
) -> None:
    """Insert an iteration unless it exists."""
    connection.execute(
        database.insert(iterations)
        .values(campaign_id=campaign_id, iteration=iteration, started_at=database.now())
        .on_conflict_do_nothing()
    )


def change_iteration(connection: Connection, campaign_id: str, iteration: int, values: Row) -> None:
    """Write columns of an iteration."""
    connection.execute(
        update(iterations)
        .where(iterations.c.campaign_id == campaign_id, iterations.c.iteration == iteration)
        .values(values)
    )


def n_by_state(connection: Connection) -> dict[str, int]:
    """Return how many campaigns have each state."""
    query = select(campaigns.c.state, func.count()).group_by(campaigns.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def iteration_took_s(connection: Connection, campaign_id: str, iteration: int) -> float:
    """Return how long a finished iteration took, in seconds."""
    query = select(iterations.c.finished_at - iterations.c.started_at).where(
        iterations.c.campaign_id == campaign_id, iterations.c.iteration == iteration
    )
    return round(float(connection.execute(query).scalar_one()), 4)


def iterations_of(connection: Connection, campaign_id: str) -> list[Row]:
    """Return the iterations of a campaign in order."""
    query = (
        select(iterations)
        .where(iterations.c.campaign_id == campaign_id)
        .order_by(iterations.c.iteration)
    )
    return paging.rows_of(connection.execute(query))


def add_candidates(connection: Connection, rows: Sequence[Row]) -> None:
    """Insert candidates (campaign_id, number, id, iteration, state, params, predicted, why)."""
    if rows:
        connection.execute(insert(candidates), list(rows))


def candidates_of(
    connection: Connection,
    campaign_id: str,
    *,
    ids: Sequence[str] | None = None,
    after: int = -1,
    limit: int | None = None,
    pareto_only: bool = False,
) -> list[Row]:
    """Return candidates of a campaign in the order of asking."""
    query = (
        select(candidates)
        .where(candidates.c.campaign_id == campaign_id, candidates.c.number > after)
        .order_by(candidates.c.number)
    )
    if ids is not None:
        query = query.where(candidates.c.id.in_(list(ids)))
    if pareto_only:
        query = query.where(candidates.c.is_pareto)
    if limit is not None:
        query = query.limit(limit)
    return paging.rows_of(connection.execute(query))


def n_candidates(connection: Connection, campaign_id: str, *, pareto_only: bool = False) -> int:
    """Return how many candidates a campaign has."""
    query = (
        select(func.count()).select_from(candidates).where(candidates.c.campaign_id == campaign_id)
    )
    if pareto_only:
        query = query.where(candidates.c.is_pareto)
    return int(connection.execute(query).scalar_one())


def has_candidates(connection: Connection, campaign_id: str, iteration: int) -> bool:
    """Tell whether an iteration has its candidates."""
    query = (
        select(candidates.c.number)
        .where(candidates.c.campaign_id == campaign_id, candidates.c.iteration == iteration)
        .limit(1)
    )
    return connection.execute(query).first() is not None


def n_proposed(connection: Connection, campaign_id: str) -> int:
    """Return how many candidates of a campaign still lack a result."""
    query = (
        select(func.count())
        .select_from(candidates)
        .where(
            candidates.c.campaign_id == campaign_id,
            candidates.c.state == CandidateState.PROPOSED,
        )
    )
    return int(connection.execute(query).scalar_one())


def settle_candidate(
    connection: Connection, campaign_id: str, candidate_id: str, state: str, outcomes: Row | None
) -> bool:
    """Give a candidate its result; False when it has one already."""
    statement = (
        update(candidates)
        .where(
            candidates.c.campaign_id == campaign_id,
            candidates.c.id == candidate_id,
            candidates.c.state == CandidateState.PROPOSED,
        )
        .values(state=state, outcomes=outcomes)
    )
    return bool(connection.execute(statement).rowcount)


def cancel_proposed(connection: Connection, campaign_id: str) -> None:
    """Cancel the candidates of a campaign that have no result."""
    statement = (
        update(candidates)
        .where(
            candidates.c.campaign_id == campaign_id,
            candidates.c.state == CandidateState.PROPOSED,
        )
        .values(state=CandidateState.CANCELLED)
    )
    connection.execute(statement)


def mark_front(connection: Connection, campaign_id: str, ids: Sequence[str]) -> None:
    """Mark exactly these candidates as the Pareto front."""
    mine = candidates.c.campaign_id == campaign_id
    connection.execute(
        update(candidates).where(mine, candidates.c.is_pareto).values(is_pareto=False)
    )
    if ids:
        statement = (
            update(candidates)
            .where(mine, candidates.c.id == bindparam("candidate"))
            .values(is_pareto=True)
        )
        connection.execute(statement, [{"candidate": candidate_id} for candidate_id in ids])


def add_evaluation(connection: Connection, row: Row) -> None:
    """Insert an evaluation; `replicate` is counted up from 0."""
    replicate = (
        select(func.count())
        .select_from(evaluations)
        .where(
            evaluations.c.campaign_id == row["campaign_id"],
            evaluations.c.candidate_id == row["candidate_id"],
        )
        .scalar_subquery()
    )
    connection.execute(insert(evaluations).values(replicate=replicate, **row))


def last_evaluations(
    connection: Connection, campaign_id: str, ids: Sequence[str]
) -> dict[str, Row]:
    """Return details and error of the last evaluation of each of these candidates."""
    found: dict[str, Row] = {}
    for start in range(0, len(ids), _IDS_AT_A_TIME):
        query = (
            select(evaluations.c.candidate_id, evaluations.c.details, evaluations.c.error)
            .where(
                evaluations.c.campaign_id == campaign_id,
                evaluations.c.candidate_id.in_(list(ids[start : start + _IDS_AT_A_TIME])),
            )
            .order_by(evaluations.c.replicate)
        )
        found |= {row["candidate_id"]: row for row in paging.rows_of(connection.execute(query))}
    return found


def evaluations_of(connection: Connection, campaign_id: str, candidate_id: str) -> list[Row]:
    """Return every evaluation of a candidate."""
    query = (
        select(evaluations)
        .where(evaluations.c.campaign_id == campaign_id, evaluations.c.candidate_id == candidate_id)
        .order_by(evaluations.c.replicate)
    )
    return paging.rows_of(connection.execute(query))


def states(connection: Connection) -> dict[str, str]:
    """Return the state of every campaign by its id."""
    found = connection.execute(select(campaigns.c.id, campaigns.c.state))
    return {row[0]: row[1] for row in found}
