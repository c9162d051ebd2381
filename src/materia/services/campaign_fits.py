"""The fit of a campaign's surrogate, by what the campaign was started with.

What computes it is fixed when the campaign starts: last digits differ between NumPy and PyTorch.
A worker that cannot do as it should does it with NumPy, and that is said: in the event, in the
quality of the fit, and in the job's log.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from materia import log
from materia.errors import DeviceError, MissingExtraError
from materia.services import devices, running
from materia.services.campaign_start import TORCH

if TYPE_CHECKING:
    from materia.engine.campaign import Campaign
    from materia.engine.fitting import SurrogateFit

NUMPY = "numpy"

logger = log.logger(__name__)


def fit(engine: Campaign, backend: str | None) -> tuple[SurrogateFit, dict[str, Any]]:
    """Return the fit, and what computed it: nothing for NumPy where nothing else was wanted.

    Args:
        engine: The campaign with its observations.
        backend: That the campaign was started with; None is NumPy.

    Raises:
        SurrogateError: The surrogate cannot be fitted by anything.
    """
    if backend != TORCH:
        return engine.fit(), {}
    device, reason = None, None
    try:
        device = devices.require()
        found = engine.fit(device=device)
    except (DeviceError, MissingExtraError) as error:
        device, reason = None, error.message
        text = f"fitted with NumPy instead of PyTorch: {reason}"
        logger.warning("torch_not_used", reason=reason)
        running.note(text, "WARNING")
        found = engine.fit()
    return _labelled(found, device, reason), {
        "backend": NUMPY if device is None else f"{TORCH} ({device})",
        "backend_fallback": reason,
    }


def _labelled(fit: SurrogateFit, device: str | None, reason: str | None) -> SurrogateFit:
    """Return a fit whose quality says what computed the model of each objective."""
    from materia.engine.surrogates.evidence import ON_DEVICE_FROM

    def label(figures: dict[str, float | str]) -> dict[str, float | str]:
        is_large = float(figures["n"]) > ON_DEVICE_FROM and figures["surrogate"] == "gp"
        used = f"{TORCH} ({device})" if device is not None and is_large else NUMPY
        return {**figures, "backend": used, **({"backend_fallback": reason} if reason else {})}

    return replace(fit, quality={name: label(one) for name, one in fit.quality.items()})
