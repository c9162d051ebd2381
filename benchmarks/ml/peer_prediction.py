"""The peer of prediction.py: MODEL, then pairs of INPUT and OUTPUT; needs pandas and joblib."""

from __future__ import annotations

import json
import sys
import time

import joblib
import pandas as pd
import sklearn.ensemble  # noqa: F401 - loaded before the clock starts, as all imports


def main(model_path: str, *paths: str) -> None:
    """Read, predict and write one file after the other, and print how long it took."""
    started = time.perf_counter()
    model = joblib.load(model_path)
    for source, output in zip(paths[::2], paths[1::2], strict=True):
        frame = pd.read_csv(source)
        found = pd.DataFrame({"prediction": model.predict(frame.to_numpy())})
        found.to_csv(output, index_label="row_id")
    seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "pandas": pd.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
