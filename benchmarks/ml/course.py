"""What the benchmarks of learning share: data, the platform without a broker, rounds, figures."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rich.progress import Progress

sys.path.insert(0, str(Path(__file__).parents[1]))

import record
import stand

PACKAGES = ("scikit-learn", "scikit-learn-intelex", "polars", "joblib", "onnxruntime", "ray")
D = 20

Competitor = Callable[[], dict[str, Any]]


@dataclass
class Course:
    """Competitors that take turns.

    Attributes:
        name: Of the result file.
        base: The peer that ratios are taken to.
        competitors: Each does the whole work once and returns figures of its own; `seconds` is
            the time, measured here where it is left out.
    """

    name: str
    base: str
    competitors: dict[str, Competitor] = field(default_factory=dict)

    def run(self, rounds: int) -> dict[str, list[dict[str, Any]]]:
        """Return the figures of every round; in each all are measured one after the other."""
        series: dict[str, list[dict[str, Any]]] = {name: [] for name in self.competitors}
        with Progress() as progress:
            bar = progress.add_task(self.name, total=rounds * len(self.competitors))
            for _ in range(rounds):
                for name, work in self.competitors.items():
                    progress.update(bar, description=name)
                    started = time.perf_counter()
                    found = work()
                    series[name].append({"seconds": time.perf_counter() - started, **found})
                    progress.console.print(f"{name}: {series[name][-1]['seconds']:.1f} s")
                    progress.advance(bar)
        return series

    def summary(self, series: Mapping[str, list[dict[str, Any]]]) -> dict[str, dict[str, Any]]:
        """Return the median time of each and of its ratio to the base in the same round."""
        base = [figures["seconds"] for figures in series[self.base]]
        return {
            name: {
                "seconds": statistics.median(figures["seconds"] for figures in rounds),
                "times_faster": statistics.median(
                    b / figures["seconds"] for b, figures in zip(base, rounds, strict=True)
                ),
                **{key: value for key, value in rounds[-1].items() if key != "seconds"},
            }
            for name, rounds in series.items()
        }

    def finish(self, series: dict[str, Any], *, is_smoke: bool, **sizes: Any) -> None:
        """Print the figures and, unless it was a trial, record them."""
        summary = self.summary(series)
        for name, line in summary.items():
            rest = "   ".join(f"{k} {v}" for k, v in line.items() if isinstance(v, float | int))
            print(f"{name:24} {rest}")
        if not is_smoke:
            data = {"summary": summary, "rounds": series, "base": self.base, **sizes}
            print(record.write(self.name, data, PACKAGES))


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return what every benchmark of learning can be told."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="one small round, nothing recorded")
    parser.add_argument(
        "--ray", action="store_true", help="also through Ray: MATERIA_RAY_ADDRESS, or a local head"
    )
    return parser


def rows(n: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return n rows of 20 numbers, six decimals each, and a target with noise (Friedman 1991)."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(size=(n, D)).round(6)
    curved = 10 * np.sin(np.pi * X[:, 0] * X[:, 1]) + 20 * (X[:, 2] - 0.5) ** 2
    return X, (curved + 10 * X[:, 3] + 5 * X[:, 4] + rng.normal(size=n)).round(6)


def write_csv(path: Path, X: NDArray[np.float64], y: NDArray[np.float64] | None = None) -> None:
    """Write rows with a header; the target comes last."""
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
    pl.DataFrame(columns | ({} if y is None else {"y": y})).write_csv(path)


@contextmanager
def platform() -> Iterator[Path]:
    """Point MatCraft at a database and a data root of its own, and yield the root."""
    from materia import settings
    from materia.store import migrate

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder / 'materia.db'}"
        migrate.upgrade(url)
        os.environ |= {
            "MATERIA_DATA_DIR": str(folder / "data"),
            "MATERIA_DATABASE_URL": url,
            "MATERIA_PROCESSES_PER_JOB": "2",
        }
        settings.current.cache_clear()
        root = settings.current().data_root
        root.mkdir(parents=True, exist_ok=True)
        yield root


@contextmanager
def ray_head(is_wanted: bool) -> Iterator[Callable[[Competitor], Competitor] | None]:
    """Yield what makes a competitor work through Ray, or None where that is not wanted."""
    if not is_wanted:
        yield None
        return
    with _ray_address() as variables:

        def through_ray(work: Competitor) -> Competitor:
            def changed() -> dict[str, Any]:
                with _environment(variables):
                    return work()

            return changed

        yield through_ray


@contextmanager
def _ray_address() -> Iterator[dict[str, str]]:
    given = {n: os.environ.pop(n) for n in list(os.environ) if n.startswith("MATERIA_RAY_")}
    if "MATERIA_RAY_ADDRESS" in given:
        yield given
        return
    with tempfile.TemporaryDirectory() as name:
        place, ready = Path(name) / "ray.json", Path(name) / "ready"
        token = {"MATERIA_RAY_TOKEN": secrets.token_hex(16)}
        head = subprocess.Popen(
            [sys.executable, "-m", "materia.stack.ray_head", str(place), str(ready), "2"],
            env={**os.environ, **token},
            stdout=subprocess.DEVNULL,
            preexec_fn=stand.die_with_tests(signal.SIGTERM),
        )
        try:
            stand.wait_until(lambda: ready.exists() or head.poll() is not None, "Ray is up", 180)
            assert head.poll() is None, "the Ray head has ended"
            yield {"MATERIA_RAY_ADDRESS": f"file:{place}", **token}
        finally:
            head.terminate()
            head.wait(60)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    from materia import settings

    os.environ |= variables
    settings.current.cache_clear()
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        settings.current.cache_clear()
