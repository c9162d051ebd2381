"""The device on which a worker trains surrogates, as PyTorch sees it."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from materia import settings
from materia.errors import DeviceError, MissingExtraError
from materia.services.workers import DEVICE

TIMEOUT_S = 120.0
_QUESTION = (
    "import torch; print(torch.__version__);"
    "print(torch.cuda.get_device_name(0) if torch.cuda.is_available() else '')"
)


def probe() -> dict[str, str]:
    """Return the version of PyTorch and the device to use; nothing where it is not to be used.

    That is the case without PyTorch, and without a GPU unless the setting asks for the CPU. It is
    asked in a process of its own: a parent that has used CUDA cannot fork children that do, and
    loading PyTorch would cost the parent hundreds of megabytes.
    """
    wanted = settings.current().torch
    if wanted == "off" or find_spec("torch") is None:
        return {}
    try:
        asked = subprocess.run(
            [sys.executable, "-c", _QUESTION],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        # An installation of it that cannot be loaded is none.
        return {}
    version, gpu = [*asked.stdout.splitlines(), "", ""][:2]
    device = "cpu" if wanted == "cpu" else f"cuda: {gpu}" if gpu else None
    return {"torch": version, **({DEVICE: device} if device else {})}


def require() -> str:
    """Return the device that fits of this process are computed on; loads PyTorch.

    Raises:
        MissingExtraError: PyTorch is not installed.
        DeviceError: It is not to be used here, or sees no GPU.
    """
    wanted = settings.current().torch
    if wanted == "off":
        raise DeviceError("MATERIA_TORCH=off switches PyTorch off on this worker")
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "A surrogate fitted on a GPU") from error
    if wanted == "cpu":
        return "cpu"
    if not torch.cuda.is_available():
        raise DeviceError("PyTorch sees no GPU on this worker", "MATERIA_TORCH=cpu does without")
    return "cuda"
