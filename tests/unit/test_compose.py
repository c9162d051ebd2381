"""The compose files against the specification's own schema, and against what we promise of them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from materia.settings import QUEUES, Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
SCHEMA = json.loads((ROOT / "tests" / "schemas" / "compose-spec.json").read_text())
NAMES = {
    *("postgres", "redis", "migrate", "api", "worker", "celery-worker-ml", "celery-worker-data"),
    *("celery-worker-gpu", "celery-beat", "flower", "ray-head", "ray-worker"),
}
PROFILES = {"celery-worker-gpu": ["gpu"], "ray-head": ["ray"], "ray-worker": ["ray"]}


@pytest.mark.parametrize("path", ["compose.yaml", "deploy/compose.yaml"])
def test_the_files_follow_the_specification(path: str) -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(yaml.safe_load((ROOT / path).read_text()))


def test_the_file_of_the_root_includes_the_other_one() -> None:
    root = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert root == {"include": ["deploy/compose.yaml"]}


def test_services_have_the_names_that_operators_know() -> None:
    assert set(SERVICES) == NAMES
    assert SERVICES["redis"]["networks"]["default"]["aliases"] == ["redis-celery"]
    found = {name: s["profiles"] for name, s in SERVICES.items() if "profiles" in s}
    assert found == PROFILES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_service_is_confined_and_watched(name: str) -> None:
    service = SERVICES[name]
    # A fixed name would forbid `--scale`.
    assert "container_name" not in service
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    if name != "migrate":
        assert service["healthcheck"]["test"]
        assert service["restart"] == "unless-stopped"
    # Ours run as the image says; the others say it themselves.
    assert "USER 10001:10001" in DOCKERFILE
    if "build" not in service:
        assert service["user"].split(":")[0] not in ("", "0", "root")


def test_ports_are_open_to_this_host_only_unless_it_is_asked_for() -> None:
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "api": ["${MATERIA_BIND:-127.0.0.1}:8000:8000"],
        "flower": ["${MATERIA_BIND:-127.0.0.1}:5555:5555"],
        "ray-head": ["127.0.0.1:8265:8265"],
    }


def test_no_secret_is_written_into_a_file() -> None:
    text = (ROOT / "deploy" / "compose.yaml").read_text() + DOCKERFILE
    assert not re.search(r"(?i)(password|token|api_key)\s*[:=]\s*[\"']?\w", text)
    files = {name: service.get("env_file") for name, service in SERVICES.items()}
    assert files.pop("postgres") == ["../.env.postgres"]
    assert files.pop("redis") == ["../.env.redis"]
    assert set(map(str, files.values())) == {"['../.env.celery']"}


def test_every_queue_has_a_worker() -> None:
    commands = {name: " ".join(s.get("command", ())) for name, s in SERVICES.items()}
    taken = [re.findall(r"--queues=(\S+)", command) for command in commands.values()]
    queues = [queue for found in taken for text in found for queue in text.split(",")]
    assert sorted(queues) == sorted(QUEUES)
    assert "--concurrency=1 --queues=gpu_training" in commands["celery-worker-gpu"]


def test_every_variable_is_a_setting() -> None:
    given = {name for s in SERVICES.values() for name in s.get("environment", ())}
    given |= set(re.findall(r"\b(MATERIA_\w+)=", DOCKERFILE))
    known = {f"MATERIA_{name.upper()}" for name in Settings.model_fields}
    others = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_INITDB_ARGS", "JOIN_RAY_CLUSTER"}
    assert given - known == others


def test_datasets_and_models_are_mounted_and_allowed() -> None:
    assert "MATERIA_DATA_ROOTS=/datasets:/models" in DOCKERFILE
    for name in ("api", "worker", "celery-worker-ml", "celery-worker-data"):
        places = [volume.rsplit(":", 1)[1] for volume in SERVICES[name]["volumes"]]
        assert places == ["/data", "/datasets", "/models"]


def test_redis_keeps_its_messages() -> None:
    given = (ROOT / "deploy" / "redis" / "redis.conf").read_text().splitlines()
    options = dict(line.split(" ", 1) for line in given if line and line[0] != "#")
    assert options["port"] == "6380"
    assert (options["appendonly"], options["maxmemory-policy"]) == ("yes", "noeviction")
    assert options["include"] == "/run/redis/password.conf"


def test_what_the_image_copies_is_there_and_not_ignored() -> None:
    kept = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().split("!")[1:]
    kept = [line.split()[0] for line in kept]
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M):
        for source in shlex.split(line)[:-1]:
            assert (ROOT / source).exists(), source
            assert source in kept
