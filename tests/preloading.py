"""What `preloaded` starts: loads libraries, then forks a program for each request.

It imports nothing of `materia` or of the tests: programs that are forked would share it.
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import runpy
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

# What programs of ours may come to need; not Polars, which starts threads when it is loaded.
LIBRARIES = (
    "celery.beat",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.worker.worker",
    "fastapi",
    "kombu.transport.redis",
    "numpy",
    "pydantic_settings",
    "redis.asyncio",
    "scipy.linalg.lapack",
    "scipy.optimize",
    "scipy.special",
    "skops.io",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "structlog",
    "uvicorn.loops.auto",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
)


PR_SET_PDEATHSIG = 1


def main(fd: int) -> None:
    """Serve requests; in a forked process, be the program."""
    for name in LIBRARIES:
        import_module(name)
    loaded = [name for name in sys.modules if name.partition(".")[0] == "materia"]
    assert not loaded, f"{loaded} would be shared by all programs"
    (_only_thread,) = Path("/proc/self/task").iterdir()
    # Else the first collection of every program would copy all that is shared.
    gc.freeze()
    # Without a buffer, and never closed by itself: a forked process has the same descriptor.
    requests = open(fd, "rb", buffering=0, closefd=False)  # noqa: SIM115
    while line := requests.readline():
        request = json.loads(line)
        if "bury" in request:
            answer = _bury(request["bury"])
        elif not (answer := os.fork()):
            os.close(fd)
            _become(**request["start"])
        os.write(fd, json.dumps(answer).encode() + b"\n")


def _bury(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become(module: str, arguments: list[str], cwd: str, env: dict[str, str], log: str) -> NoReturn:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.path[:0] = ["", *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    main(int(sys.argv[1]))
