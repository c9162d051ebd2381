"""Wait until the API is ready, then send a ping as any Celery client does; exit status 1 if not."""

import os
import sys
import time
import urllib.error
import urllib.request

from celery import Celery

URL = os.environ.get("MATERIA_CHECK_URL", "http://127.0.0.1:8000")
KEY = os.environ["MATERIA_API_KEY"]
END = time.monotonic() + float(os.environ.get("WAIT_S", "60"))


def is_ready() -> str | None:
    """Return why the API is not ready; None when it is."""
    request = urllib.request.Request(f"{URL}/api/v1/health/ready")
    request.add_header("Authorization", f"Bearer {KEY}")
    try:
        urllib.request.urlopen(request, timeout=5).close()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read()[:500].decode(errors='replace')}"
    except OSError as error:
        return str(error)
    return None


while reason := is_ready():
    if time.monotonic() > END:
        sys.exit(f"error: the API is not ready: {reason}")
    time.sleep(1)

app = Celery(broker=os.environ["MATERIA_BROKER_URL"], backend=os.environ["MATERIA_RESULT_BACKEND"])
try:
    answer = app.send_task("tasks.simple_tasks.ping").get(timeout=max(5.0, END - time.monotonic()))
except Exception as error:  # noqa: BLE001 - whatever the broker or the task raises
    sys.exit(f"error: no worker answered the ping: {type(error).__name__}: {error}")
if answer != {"status": "pong", "worker": "celery"}:
    sys.exit(f"error: a worker answered the ping with {answer!r}")
print("the ping went through the queue and came back")
