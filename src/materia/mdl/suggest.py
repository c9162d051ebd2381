"""Guess what a misspelt word was meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "parameters": ("variables", "inputs", "space", "search_space", "dimensions", "factors"),
    "objectives": ("outputs", "targets", "goals", "outcomes", "responses", "metrics"),
    "optimizer": ("optimiser", "optimization", "optimisation", "strategy"),
    "budget": ("max_evaluations", "n_trials", "max_iterations", "evaluations", "n_evaluations"),
    "batch_size": ("batch", "n_parallel"),
    "seed": ("random_seed", "random_state"),
    "initial_samples": ("n_initial", "n_init", "initial_points", "initial_design"),
    "convergence_patience": ("patience",),
    "convergence_threshold": ("threshold", "tolerance"),
    "expression": ("formula", "constraint", "equation"),
    "bounds": ("range", "limits", "interval", "domain"),
    "choices": ("values", "options", "categories", "levels"),
    "parts": ("components", "elements", "fractions"),
    "total": ("sum",),
    "unit": ("units",),
    "log_scale": ("log", "scale", "logarithmic"),
    "direction": ("goal", "mode", "type", "sense", "minimize", "maximize"),
    "reference_point": ("reference", "ref", "ref_point"),
    "options": ("parameters", "params", "settings", "args", "config"),
    "timeout_s": ("timeout",),
    "max_nonzero": ("max_parts", "sparsity"),
    "stop_at": ("good_enough", "stop_value", "target_value", "aspiration"),
    "minimize": ("min", "minimise", "minimum", "lower", "down", "smaller"),
    "maximize": ("max", "maximise", "maximum", "higher", "up", "larger"),
    "continuous": ("float", "real", "double", "number", "numeric", "numerical", "range"),
    "integer": ("int", "discrete", "whole"),
    "categorical": ("category", "choice", "enum", "string", "str", "bool", "boolean", "nominal"),
    "composition": ("mixture", "simplex", "fraction", "alloy", "compositional"),
    "cma-es": ("cmaes", "cma", "cma_es"),
    "ei": ("expected_improvement", "logei"),
    "noisy_ei": ("nei", "qnei", "noisy_expected_improvement", "qlognei"),
    "ucb": ("lcb", "confidence_bound", "upper_confidence_bound", "gp_ucb"),
    "pi": ("poi", "probability_of_improvement"),
    "thompson": ("ts", "thompson_sampling"),
    "ehvi": ("expected_hypervolume_improvement", "qehvi", "hypervolume"),
    "noisy_ehvi": ("nehvi", "qnehvi", "qlognehvi"),
    "parego": ("qparego", "chebyshev", "scalarised", "scalarized"),
    "gp": ("gaussian_process", "gpr", "kriging"),
}
"""Words that people use elsewhere for what is called otherwise here."""

_LONGEST = 100


def closest(word: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed word that `word` probably means, or None."""
    if len(word) > _LONGEST:
        return None
    plain = {_plain(candidate): candidate for candidate in allowed}
    if (found := plain.get(_plain(word))) is not None:
        return found
    for candidate in plain.values():
        if word.lower() in SYNONYMS.get(candidate, ()):
            return candidate
    cutoff = (
        0.5 if len(word) <= 2 else 0.7
    )  # one of two letters may be wrong, as in chemical symbols
    near = get_close_matches(_plain(word), plain, n=1, cutoff=cutoff)
    return plain[near[0]] if near else None


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return the advice for an unknown word: the likely one, or the list of allowed ones."""
    allowed = list(dict.fromkeys(allowed))  # a name that is declared twice is one choice
    if (found := closest(word, allowed)) is not None:
        return f"did you mean '{found}'?"
    listed = ", ".join(allowed[:20]) + (", …" if len(allowed) > 20 else "")
    return f"allowed: {listed}" if allowed else "there is none to choose from"


def _plain(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_").strip("_")
