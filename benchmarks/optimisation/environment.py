"""The Python of the other optimisers: made on first use, kept in the cache, never ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PACKAGES = (
    "torch==2.13.0",
    "botorch==0.18.1",
    "ax-platform==1.3.1",
    "baybe==0.15.0",
    "optuna==5.0.0",
    "pymoo==0.6.2",
    "cmaes==0.13.1",
    "scikit-learn==1.9.1",
    "matplotlib==3.11.2",
)

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "materia-benchmarks"

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def python_with_peers() -> Path:
    """Return a Python that has every other optimiser; a few gigabytes, most of them torch."""
    name = f"python-{sys.version_info.major}.{sys.version_info.minor}-optimisers"
    place = CACHE / name
    python, made = place / "bin" / "python", place / "made-with.txt"
    wanted = "\n".join(PACKAGES)
    if not made.exists() or made.read_text() != wanted:
        uv = Path(sys.executable).with_name("uv")
        subprocess.run(
            [uv, "venv", "-q", "--allow-existing", "--python", sys.executable, place], check=True
        )
        subprocess.run([uv, "pip", "install", "-q", "--python", python, *PACKAGES], check=True)
        made.write_text(wanted)
    return python
