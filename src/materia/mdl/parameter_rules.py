"""What a parameter of the right shape must still satisfy: a range, and parts that can add up."""

from __future__ import annotations

import math

from materia.mdl.definition import (
    CategoricalParameter,
    CompositionParameter,
    ContinuousParameter,
    IntegerParameter,
    Parameter,
)
from materia.mdl.finding import Findings
from materia.mdl.interval import Interval
from materia.mdl.places import Path

CLOSURE = 1e-9
"""Parts sum to their total within this times max(1, total)."""
MAX_STEPS = 1_000_000
"""Steps in the total of a composition."""

_NICE_COUNTS = (1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 80, 100, 200, 250, 400, 500, 1000)


def judge_parameter(parameter: Parameter, path: Path, findings: Findings) -> dict[str, Interval]:
    """Note what is wrong with one parameter.

    Returns:
        The bounds of each of its numeric names as far as they are sound; none for categories.
    """
    match parameter:
        case ContinuousParameter() | IntegerParameter():
            return _judge_range(parameter, path, findings)
        case CategoricalParameter():
            _judge_choices(parameter, path, findings)
            return {}
        case CompositionParameter():
            return _judge_composition(parameter, path, findings)


def _judge_range(
    parameter: ContinuousParameter | IntegerParameter, path: Path, findings: Findings
) -> dict[str, Interval]:
    lower, upper = parameter.bounds
    here = (*path, "bounds")
    if lower > upper:
        what = f"the bounds [{lower:g}, {upper:g}] are reversed; the lower one comes first"
        findings.error(here, what, f"write [{upper:g}, {lower:g}]")
        return {}
    if lower == upper:
        what = f"both bounds are {lower:g}, so there is nothing to choose"
        findings.error(here, what, "widen the bounds or remove the parameter")
        return {}
    if not math.isfinite(upper - lower):
        findings.error(here, "the bounds are too far apart", "stay within 1e307")
        return {}
    if parameter.log_scale and lower <= 0:
        what = f"log_scale needs bounds above 0, but the lower one is {lower:g}"
        findings.error(here, what, "raise the lower bound or remove log_scale")
    if isinstance(parameter, IntegerParameter):
        _judge_steps(parameter, path, findings)
    return {parameter.name: (lower, upper)}


def _judge_steps(parameter: IntegerParameter, path: Path, findings: Findings) -> None:
    lower, upper = parameter.bounds
    width, step = upper - lower, parameter.step
    if step > width:
        what = f"a step of {step} does not fit between {lower} and {upper}"
        findings.error((*path, "step"), what, f"use a step of at most {width}")
    elif rest := width % step:
        what = f"in steps of {step} from {lower} the upper bound {upper} is never reached"
        findings.warn((*path, "step"), what, f"the last value is {upper - rest}; write that")


def _judge_choices(parameter: CategoricalParameter, path: Path, findings: Findings) -> None:
    # 1, 1.0 and True are equal in Python; only the first two mean the same to a user.
    first: dict[tuple[bool, str | float], int] = {}
    for i, choice in enumerate(parameter.choices):
        key = (isinstance(choice, bool), choice)
        if key in first:
            what = f"the choice {choice!r} is given twice; first as choices[{first[key]}]"
            findings.error((*path, "choices", i), what, "remove one of them")
        first.setdefault(key, i)
    if len(first) == 1:
        what = "there is only one choice, so there is nothing to choose"
        findings.warn((*path, "choices"), what, "add choices or remove the parameter")


def _judge_composition(
    parameter: CompositionParameter, path: Path, findings: Findings
) -> dict[str, Interval]:
    total = parameter.total
    bounds = [part.bounds or (0.0, total) for part in parameter.parts]
    sound = [
        _judge_part(pair, total, (*path, "parts", i, "bounds"), findings)
        for i, pair in enumerate(bounds)
    ]
    if not all(sound):
        return {}
    if parameter.step is not None:
        if not _judge_total_steps(parameter, path, findings):
            return {}
        bounds = [_on_steps(pair, parameter.step) for pair in bounds]
    bounds = [(lower, min(upper, total)) for lower, upper in bounds]
    if not _judge_sums(parameter, bounds, path, findings):
        return {}
    lowest, highest = math.fsum(b[0] for b in bounds), math.fsum(b[1] for b in bounds)
    reachable = [
        (max(lower, total - (highest - upper)), min(upper, total - (lowest - lower)))
        for lower, upper in bounds
    ]
    if all(upper - lower <= CLOSURE * max(1.0, total) for lower, upper in reachable):
        what = f"the bounds leave only one composition that sums to {total:g}"
        findings.error((*path, "parts"), what, "widen the bounds of some parts")
    return {part.name: pair for part, pair in zip(parameter.parts, reachable, strict=True)}


def _judge_part(pair: Interval, total: float, here: Path, findings: Findings) -> bool:
    lower, upper = pair
    if lower > upper:
        what = f"the bounds [{lower:g}, {upper:g}] are reversed; the lower one comes first"
        findings.error(here, what, f"write [{upper:g}, {lower:g}]")
    elif lower < 0:
        what = f"a part cannot be negative, but its lower bound is {lower:g}"
        findings.error(here, what, "raise it to 0")
    elif upper > total * (1 + CLOSURE):
        what = f"the upper bound {upper:g} lies above the total of {total:g}"
        fix = "write total: 100 if the parts are percentages" if total == 1 else None
        findings.warn(here, what, fix or f"lower it to {total:g}")
        return True
    else:
        return True
    return False


def _judge_total_steps(parameter: CompositionParameter, path: Path, findings: Findings) -> bool:
    assert parameter.step is not None
    total, step = parameter.total, parameter.step
    n_steps = total / step
    here = (*path, "step")
    if n_steps > MAX_STEPS:
        what = f"a step of {step:g} cuts the total of {total:g} into more than {MAX_STEPS} steps"
        findings.error(here, what, "use a larger step, or none at all")
        return False
    if abs(n_steps - round(n_steps)) > 1e-6:
        nice = min(_NICE_COUNTS, key=lambda count: abs(math.log(count / n_steps)))
        what = f"the total of {total:g} is not a whole number of steps of {step:g}"
        findings.error(here, what, f"choose a step that divides it, such as {total / nice:g}")
        return False
    for i, part in enumerate(parameter.parts):
        reached = _on_steps(part.bounds, step) if part.bounds else None
        if part.bounds and reached and reached != part.bounds:
            what = f"the bounds {list(part.bounds)} are not multiples of the step {step:g}"
            fix = f"values from {reached[0]:g} to {reached[1]:g} are used; write those"
            findings.warn((*path, "parts", i, "bounds"), what, fix)
    return True


def _on_steps(pair: Interval, step: float) -> Interval:
    """Return the outermost multiples of `step` between two bounds."""
    ends = (math.ceil(pair[0] / step - CLOSURE) * step, math.floor(pair[1] / step + CLOSURE) * step)
    lower, upper = (
        bound if math.isclose(bound, end, rel_tol=CLOSURE) else end
        for bound, end in zip(pair, ends, strict=True)
    )
    return lower, upper


def _judge_sums(
    parameter: CompositionParameter, bounds: list[Interval], path: Path, findings: Findings
) -> bool:
    total, slack = parameter.total, CLOSURE * max(1.0, parameter.total)
    here = (*path, "parts")
    on_steps = f" on steps of {parameter.step:g}" if parameter.step else ""
    lowest, highest = math.fsum(b[0] for b in bounds), math.fsum(b[1] for b in bounds)
    empty = [
        part.name
        for part, (low, high) in zip(parameter.parts, bounds, strict=True)
        if low > high + slack
    ]
    if empty:
        what = f"no multiple of the step {parameter.step:g} lies between the bounds of {empty[0]}"
        findings.error(here, what, "widen its bounds or use a smaller step")
        return False
    if lowest > total + slack:
        what = f"the lower bounds of the parts sum to {lowest:g}{on_steps}, more than the total"
        findings.error(here, f"{what} of {total:g}", "lower some lower bounds or raise total")
        return False
    if highest < total - slack:
        what = f"the upper bounds of the parts sum to {highest:g}{on_steps}, less than the total"
        findings.error(here, f"{what} of {total:g}", "raise some upper bounds or lower total")
        return False
    return _judge_sparsity(parameter, bounds, path, findings)


def _judge_sparsity(
    parameter: CompositionParameter, bounds: list[Interval], path: Path, findings: Findings
) -> bool:
    limit, total = parameter.max_nonzero, parameter.total
    here = (*path, "max_nonzero")
    if limit is None:
        return True
    if limit > len(bounds):
        what = f"max_nonzero is {limit}, but there are only {len(bounds)} parts"
        findings.warn(here, what, "lower it or remove it")
        return True
    needed = [upper for lower, upper in bounds if lower > 0]
    if len(needed) > limit:
        what = f"{len(needed)} parts have lower bounds above 0, but max_nonzero allows {limit}"
        findings.error(here, what, f"raise it to {len(needed)} or set lower bounds to 0")
        return False
    others = sorted((upper for lower, upper in bounds if lower <= 0), reverse=True)
    reach = math.fsum(needed + others[: limit - len(needed)])
    if reach < total - CLOSURE * max(1.0, total):
        what = f"{limit} non-zero parts sum to at most {reach:g}, less than the total of {total:g}"
        findings.error(here, what, "raise max_nonzero or some upper bounds")
        return False
    return True
