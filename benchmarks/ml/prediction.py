"""Three files of a million rows predicted, against joblib and pandas.

    python benchmarks/ml/prediction.py [--smoke] [--ray] [--rounds N] [--rows N] [--trees N]

The peer (peer_prediction.py) runs in an environment of its own with pandas and the same
scikit-learn: it loads the same forest by joblib with n_jobs=2, then reads, predicts and writes one
file after the other, and is timed without its imports. Ours is the whole job, the reading of the
model and the start of processes included. Both must write the same predictions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from course import Course, arguments, platform, ray_head, rows, write_csv

DEPTH = 12
N_FILES = 3


def peer_python(folder: Path) -> Path:
    """Return the interpreter of an environment with what the peer needs."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    same = [f"{name}=={version(name)}" for name in ("scikit-learn", "joblib", "numpy")]
    subprocess.run(
        [
            *uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            python,
            "pandas",
            *same,
        ],
        check=True,
    )
    return python


def peer(python: Path, model: Path, files: list[Path], outputs: list[Path]) -> dict[str, Any]:
    """Predict by joblib and pandas."""
    script = Path(__file__).with_name("peer_prediction.py")
    pairs = [str(path) for pair in zip(files, outputs, strict=True) for path in pair]
    done = subprocess.run(
        [python, script, model, *pairs],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(json.loads(done.stdout))


def ours(model_path: str, files: list[Path], results: list[list[Path]]) -> dict[str, Any]:
    """Predict as a job does."""
    from materia import settings
    from materia.services import learning

    names = [path.name for path in files]
    result = learning.batch_predictions(names, model_path=model_path).result
    root = settings.current().data_root
    results.append([root / name for name in result["output_files"]])
    assert result["total_predictions"] == len(files) * (result["total_predictions"] // len(files))
    return {}


def share_equal(files: list[Path], others: list[Path]) -> float:
    """Return the share of rows with the same prediction, to 12 digits: the threads of the peer add
    up their trees in any order."""
    ours, theirs = (
        pl.concat([pl.read_csv(path, columns=["prediction"]) for path in paths])["prediction"]
        for paths in (files, others)
    )
    assert len(ours) == len(theirs)
    return float(np.isclose(ours, theirs, rtol=1e-12, atol=0.0).mean())


def main() -> None:
    """Measure, compare predictions, print and record."""
    parser = arguments(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of each of three files")
    parser.add_argument("--trees", type=int, default=100)
    chosen = parser.parse_args()
    n, trees, rounds, learnt = chosen.rows, chosen.trees, chosen.rounds, 50_000
    if chosen.smoke:
        n, trees, rounds, learnt = 5000, 5, 1, 2000
    course = Course("ml-prediction", "joblib + pandas")
    with (
        platform() as root,
        tempfile.TemporaryDirectory() as name,
        ray_head(chosen.ray) as through_ray,
    ):
        import joblib

        from materia.ml.model_file import read_model
        from materia.services import learning

        folder = Path(name)
        python = peer_python(folder / "environment")
        write_csv(root / "learnt.csv", *rows(learnt))
        config = {"n_estimators": trees, "max_depth": DEPTH, "num_partitions": 1, "target": "y"}
        stored = learning.distributed_training(config, "learnt.csv").result["model_path"]
        [forest] = read_model(root / stored).members
        joblib.dump(forest.set_params(n_jobs=2), folder / "forest.joblib")
        files = [root / f"batch_{i}.csv" for i in range(N_FILES)]
        for i, file in enumerate(files):
            write_csv(file, rows(n, seed=i + 1)[0])
        outputs = [folder / file.name for file in files]
        written: list[list[Path]] = []
        course.competitors = {
            "joblib + pandas": lambda: peer(python, folder / "forest.joblib", files, outputs),
            "batch_predictions": lambda: ours(stored, files, written),
        }
        if through_ray is not None:
            by_ray = through_ray(course.competitors["batch_predictions"])
            course.competitors["batch_predictions, Ray"] = by_ray
            write_csv(root / "small.csv", rows(100)[0])
            through_ray(lambda: ours(stored, [root / "small.csv"], []))()
        series = course.run(rounds)
        equal = min(share_equal(paths, outputs) for paths in written)
    assert equal > 0.9999, f"only {equal:.2%} of the predictions are the same"
    sizes = {"n_rows": n, "n_files": N_FILES, "n_trees": trees, "share_equal": equal}
    course.finish(series, is_smoke=chosen.smoke, **sizes)


if __name__ == "__main__":
    main()
