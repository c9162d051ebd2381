"""Result files of benchmarks: figures with commit, versions and machine."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("numpy", "scipy", "celery", "kombu", "redis", "sqlalchemy", "fastapi")


def write(name: str, data: dict[str, Any], packages: tuple[str, ...] = ()) -> Path:
    """Write ``results/<name>.json`` and return its path.

    Args:
        name: Name of the benchmark; an earlier result of the same name is replaced.
        data: The figures; JSON.
        packages: Whose versions matter beside those of the platform.
    """
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(
        json.dumps({"benchmark": name, **circumstances(packages), **data}, indent=2) + "\n"
    )
    return path


def earlier(name: str) -> dict[str, Any]:
    """Return what was written under a name for the present commit; empty if there is nothing."""
    path = RESULTS / f"{name}.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    commits = [commit.removesuffix("-dirty") for commit in (found.get("commit", ""), _commit())]
    return found if commits[0] == commits[1] else {}


def spread(seconds: Sequence[float]) -> dict[str, float | int | None]:
    """Return how many there are, their median, 95th percentile (nearest rank) and maximum."""
    ordered = sorted(seconds)

    def at(share: float) -> float | None:
        rank = math.ceil(share * len(ordered)) - 1
        return round(ordered[max(0, rank)], 4) if ordered else None

    return {"n": len(ordered), "p50_s": at(0.5), "p95_s": at(0.95), "max_s": at(1.0)}


def circumstances(packages: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return what a figure depends on beside the code that it measures."""
    return {
        "commit": _commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in (*PACKAGES, *packages)},
        "machine": {"cpu": _cpu(), "cores": os.cpu_count(), "system": platform.system()},
    }


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--exclude=*"],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parent,
    )
    return described.stdout.strip()


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
