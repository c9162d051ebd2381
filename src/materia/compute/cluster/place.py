"""Where the cluster is and how to be let in, as the settings say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from materia.errors import DefinitionError, StateError, TransientError
from materia.outbound.addresses import is_loopback

if TYPE_CHECKING:
    from materia.settings import Settings

FILE = "file:"
DASHBOARD_PORT = 8265
SETTING = "MATERIA_RAY_ADDRESS"


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """A head, and what opens it.

    Attributes:
        host: Name or address of the head.
        port: Where the head takes nodes and drivers.
        dashboard_url: Scheme, host and port of the head's HTTP interface.
        token: What everybody in the cluster must show; None where nobody asks.
    """

    host: str
    port: int
    dashboard_url: str
    token: str | None = field(repr=False)

    @property
    def address(self) -> str:
        """Host and port as Ray writes them."""
        return f"{self.host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables that Ray must find before it is loaded."""
        return ray_environment(self.host, self.token)


def ray_environment(host: str, token: str | None) -> dict[str, str]:
    """Return the variables that head, nodes and drivers of one cluster must have alike."""
    found = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token" if token else "disabled"}
    if token:
        found["RAY_AUTH_TOKEN"] = token
    if is_loopback(host):
        # Ray takes the address of the network for loopback otherwise, and listens there.
        found["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    return found


def is_clustered() -> bool:
    """Tell whether heavy work goes to a cluster."""
    return bool(_settings().ray_address)


def cluster_place(chosen: Settings | None = None) -> ClusterPlace:
    """Return where the cluster is at this moment.

    Args:
        chosen: Settings to go by; by default those of this process.

    Raises:
        DefinitionError: The address is none.
        StateError: There is no address; or anybody could use the cluster, in production.
        TransientError: The address lies in a file that is not there: the head is starting.
    """
    chosen = chosen or _settings()
    if not chosen.ray_address:
        raise StateError("no cluster is configured", f"set {SETTING}, or start materia up --ray")
    address, dashboard_url = _look_up(chosen.ray_address)
    host, port = _split(address)
    token = chosen.ray_token.get_secret_value() if chosen.ray_token else None
    if chosen.environment == "production" and not token:
        raise StateError(
            f"the Ray cluster at {address} is used without token authentication, in production",
            "start its nodes with RAY_AUTH_MODE=token and one RAY_AUTH_TOKEN, and set "
            "MATERIA_RAY_TOKEN to the same",
        )
    url = chosen.ray_dashboard_url or dashboard_url or f"http://{host}:{DASHBOARD_PORT}"
    return ClusterPlace(host.strip("[]"), port, url.rstrip("/"), token)


def _settings() -> Settings:
    # Not at the top: every process of a map loads this package, and none of them needs settings.
    from materia import settings

    return settings.current()


def _look_up(text: str) -> tuple[str, str | None]:
    """Return an address, and the dashboard's where a file names it."""
    if not text.startswith(FILE):
        return text, None
    path = Path(text.removeprefix(FILE))
    try:
        found = json.loads(path.read_text())
        return str(found["address"]), str(found["dashboard_url"])
    except (FileNotFoundError, KeyError):
        raise TransientError(f"the Ray head of {path} is not up", "it is being started") from None
    except (OSError, ValueError, TypeError) as error:
        raise TransientError(f"{path} does not say where the Ray head is: {error}") from None


def _split(address: str) -> tuple[str, int]:
    parts = urlsplit(f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if "://" in address or not host or not port or parts.path or parts.username:
        raise DefinitionError(
            f"the address of the Ray cluster is '{address:.100}'",
            "write host:port of its head, such as 10.0.0.5:6379; ray:// and 'auto' are not used",
            path=SETTING,
        )
    return host, port
