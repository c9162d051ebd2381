"""Where the cluster is: addresses that are none, files of a head, and tokens in production."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from materia.compute import is_clustered
from materia.compute.cluster.place import cluster_place
from materia.errors import DefinitionError, StateError, TransientError
from materia.settings import Settings


def settings(**values: Any) -> Settings:
    return Settings.model_validate(values)


def test_without_an_address_there_is_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_clustered()
    with pytest.raises(StateError, match="no cluster is configured"):
        cluster_place()


@pytest.mark.parametrize("variable", ["MATERIA_RAY_ADDRESS", "RAY_ADDRESS"])
def test_an_address_in_the_environment_is_taken(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "10.0.0.5:6379")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "let me in")
    assert is_clustered()
    place = cluster_place()
    assert (place.address, place.token) == ("10.0.0.5:6379", "let me in")
    assert place.dashboard_url == "http://10.0.0.5:8265"
    assert place.environment["RAY_AUTH_MODE"] == "token"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in place.environment
    assert "let me in" not in repr(place)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_head_of_this_machine_keeps_to_it(host: str) -> None:
    environment = cluster_place(settings(ray_address=f"{host}:7000")).environment
    assert environment["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    assert environment["RAY_AUTH_MODE"] == "disabled"


@pytest.mark.parametrize(
    "address",
    ["auto", "10.0.0.5", "ray://10.0.0.5:10001", "10.0.0.5:port", ":6379", "a:1/b", "me@a:1", " "],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(DefinitionError, match="host:port") as caught:
        cluster_place(settings(ray_address=address))
    assert caught.value.path == "MATERIA_RAY_ADDRESS"


def test_a_cluster_open_to_anybody_is_refused_in_production() -> None:
    chosen = {"ray_address": "10.0.0.5:6379", "environment": "production"}
    with pytest.raises(StateError, match="RAY_AUTH_MODE=token"):
        cluster_place(settings(**chosen))
    assert cluster_place(settings(**chosen, ray_token="secret")).token == "secret"


def test_a_head_that_moves_is_looked_up_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "ray.json"
    chosen = settings(ray_address=f"file:{path}")
    with pytest.raises(TransientError, match="is not up"):
        cluster_place(chosen)
    for port in (7000, 7001):
        url = f"http://127.0.0.1:{port + 10}"
        path.write_text(json.dumps({"address": f"127.0.0.1:{port}", "dashboard_url": url}))
        place = cluster_place(chosen)
        assert (place.port, place.dashboard_url) == (port, url)
    path.write_text('{"address": ')
    with pytest.raises(TransientError, match="does not say"):
        cluster_place(chosen)
