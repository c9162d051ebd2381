"""One optimiser in a process of its own: reads questions from stdin, answers on stdout.

    python serve.py OPTIMISER

The first line is the declaration. Then, as JSON, one a line,
{"tell": [points, outcomes]} · {"ask": n} → {"points", "seconds"} · {"predict": points} →
{"mean", "std", "seconds"} or null · {"end": true} → {"peak_mb", "versions"}.

`seconds` is the processor time of the optimiser's own for its suggestion, fit included: with one
thread what a clock shows on an idle machine, and the same on a busy one.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from declaration import Declaration


def peak_mb() -> float:
    """Return the largest resident memory so far, MB."""
    # What `getrusage` says of a process is never less than what its parent had when it was started.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """Serve one run."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries print where they like; the pipe is for answers only

    def answer(told: Any) -> None:
        answers.write(json.dumps(told) + "\n")
        answers.flush()

    module = importlib.import_module(f"optimisers.{sys.argv[1]}")
    optimiser = module.Optimiser(Declaration.from_dict(json.loads(sys.stdin.readline())))
    for line in sys.stdin:
        question = json.loads(line)
        if "tell" in question:
            optimiser.tell(*question["tell"])
        elif "ask" in question:
            started = time.process_time()
            points = optimiser.ask(question["ask"])
            answer({"points": points, "seconds": time.process_time() - started})
        elif "predict" in question:
            started = time.process_time()
            predicted = optimiser.predict(question["predict"])
            seconds = time.process_time() - started
            names = ("mean", "std", "seconds")
            answer(predicted and dict(zip(names, (*predicted, seconds), strict=True)))
        else:
            versions = {package: version(package) for package in module.PACKAGES}
            answer({"peak_mb": peak_mb(), "versions": versions})
            return


if __name__ == "__main__":
    main()
