"""Python SDK of the HTTP API, synchronous and asynchronous. Loads no server code.

    from materia.client import Client

    with Client.local() as client:
        started = client.run(Path("alloy.yaml"))
        for event in client.campaigns.watch(started["campaign_id"]):
            print(event["type"], event["data"])
        front = client.campaigns.pareto(started["campaign_id"])

`AsyncClient` has the same methods; there they are awaited, and `watch` is iterated with
``async for``.
"""

from materia.client.client import AsyncClient, Client

__all__ = ["AsyncClient", "Client"]
