"""What the head says of its nodes: asked over HTTP, without becoming a part of the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from materia.compute.cluster.place import ClusterPlace, cluster_place
from materia.errors import StateError, TransientError

if TYPE_CHECKING:
    import httpx

MOST_NODES = 10_000


def cluster_nodes(timeout_s: float) -> list[dict[str, Any]]:
    """Return every node that the head knows, dead ones too.

    Args:
        timeout_s: The head must have answered within it, > 0.

    Returns:
        For each node `id`, `address`, `alive`, `cpus`, `memory_bytes` and, of a dead one, `reason`.

    Raises:
        StateError: No cluster is configured, or the head refuses the token.
        TransientError: The head does not answer, or not in time.
    """
    return nodes_of(cluster_place(), timeout_s)


def nodes_of(place: ClusterPlace, timeout_s: float) -> list[dict[str, Any]]:
    """Return what `cluster_nodes` does, of one cluster."""
    answer = ask(place, f"/api/v0/nodes?detail=1&limit={MOST_NODES}", timeout_s)
    try:
        if not answer["result"]:
            raise TransientError(f"the Ray head at {place.address} says: {answer['msg']:.300}")
        return [_node(row) for row in answer["data"]["result"]["result"]]
    except (KeyError, TypeError) as error:
        raise _not_understood(place, error) from None


def ask(place: ClusterPlace, path: str, timeout_s: float) -> dict[str, Any]:
    """Return what the head's HTTP interface answers.

    Raises:
        StateError: It refuses the token.
        TransientError: It does not answer, or not in time.
    """
    # Not at the top: every process of a map loads this package.
    import asyncio

    import httpx

    headers = {"Authorization": f"Bearer {place.token}"} if place.token else {}
    try:
        response = asyncio.run(_get(place.dashboard_url + path, headers, timeout_s))
        if response.status_code in (401, 403):
            raise StateError(
                f"the Ray cluster at {place.address} refuses the token",
                "set MATERIA_RAY_TOKEN to the RAY_AUTH_TOKEN of its nodes",
            )
        response.raise_for_status()
        found = response.json()
    except TimeoutError:
        raise _silent(place, f"no answer within {timeout_s:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _silent(place, str(error) or type(error).__name__) from None
    except ValueError as error:
        raise _not_understood(place, error) from None
    if not isinstance(found, dict):
        raise _not_understood(place, f"an answer of type {type(found).__name__}")
    return found


async def _get(url: str, headers: dict[str, str], timeout_s: float) -> httpx.Response:
    import asyncio

    import httpx

    # httpx limits each read; a head that sends a byte now and then must not hold anybody up.
    async with asyncio.timeout(timeout_s), httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url, headers=headers, timeout=timeout_s)


def _node(row: dict[str, Any]) -> dict[str, Any]:
    alive = row["state"] == "ALIVE"
    resources = row.get("resources_total") or {}
    return {
        "id": str(row["node_id"]),
        "address": str(row["node_ip"]),
        "alive": alive,
        "cpus": float(resources.get("CPU", 0.0)),
        "memory_bytes": int(resources.get("memory", 0)),
        "reason": None if alive else str(row.get("state_message") or "dead"),
    }


def _silent(place: ClusterPlace, reason: str) -> TransientError:
    return TransientError(
        f"the Ray head at {place.address} does not answer on {place.dashboard_url}: {reason}",
        "start it, or set MATERIA_RAY_ADDRESS and MATERIA_RAY_DASHBOARD_URL to where it is",
    )


def _not_understood(place: ClusterPlace, reason: object) -> TransientError:
    return TransientError(
        f"what answers on {place.dashboard_url} is no Ray head of the pinned version: {reason}"
    )
