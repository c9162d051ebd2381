"""What `preloaded` starts: loads libraries, then forks a Celery program for each request.

It imports nothing of `materia` or of the tests: programs that are forked would share it.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from importlib import import_module
from typing import NoReturn

LIBRARIES = (
    "celery.beat",
    "celery.bin.celery",
    "celery.concurrency.prefork",
    "celery.worker.worker",
    "kombu.transport.redis",
    "numpy",
    "pydantic_settings",
    "redis",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite",
    "structlog",
)


PR_SET_PDEATHSIG = 1


def main(fd: int) -> None:
    """Serve requests; in a forked process, be the program."""
    for name in LIBRARIES:
        import_module(name)
    loaded = [name for name in sys.modules if name.partition(".")[0] == "materia"]
    assert not loaded, f"{loaded} would be shared by all programs"
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


def _become(arguments: list[str], cwd: str, env: dict[str, str], log: str) -> NoReturn:
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
    sys.argv = ["celery", *arguments]
    from celery.__main__ import main as celery

    celery()
    sys.exit()


if __name__ == "__main__":
    main(int(sys.argv[1]))
