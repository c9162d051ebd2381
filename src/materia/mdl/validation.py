"""Check a definition: every finding at once, with its place and a fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from materia.mdl import yaml
from materia.mdl.definition import Definition
from materia.mdl.finding import Finding, Findings, as_error
from materia.mdl.places import Path, steps
from materia.mdl.plain import Budget, TooMuchError, plain
from materia.mdl.rules import judge
from materia.mdl.shape import SECTIONS, examine

__all__ = ["Finding", "Source", "check", "load", "locate"]

Source = str | bytes | Mapping[str, Any]
"""YAML or JSON text, or the data itself."""

_LIMITS: Mapping[Path, int] = {
    (key,): schema["maxItems"]
    for key, schema in Definition.model_json_schema()["properties"].items()
    if "maxItems" in schema
}


def check(source: Source) -> tuple[Definition | None, list[Finding]]:
    """Return the definition and everything that is wrong or doubtful in it.

    Cheap and safe for text of unknown origin: nothing is run, and size, depth and number of values
    are limited before the text is taken apart.

    Args:
        source: Text (not the name of a file), or a mapping; a mapping has no lines.

    Returns:
        The definition, None when it has errors, and the findings in order of lines.
    """
    findings = Findings()
    definition = None
    value = _read(source, findings)
    if value is not None or not findings.has_errors:
        definition, data = examine(value, findings)
        judge(data, findings)
    return (None if findings.has_errors else definition), findings.in_order(SECTIONS)


def load(source: Source) -> Definition:
    """Return the definition of `source`.

    Raises:
        DefinitionError: It has errors; `findings` holds all of them, warnings included.
    """
    definition, findings = check(source)
    if definition is None:
        raise as_error(findings)
    return definition


def locate(findings: Sequence[Finding], source: Source) -> list[Finding]:
    """Return findings that others made of a definition with the lines of the text it came from."""
    reading = Findings()
    _read(source, reading)
    root = reading.root
    if root is None:
        return list(findings)
    return [
        replace(finding, line=root.at(steps(finding.path)).line)
        if finding.line is None
        else finding
        for finding in findings
    ]


def _read(source: Source, findings: Findings) -> Any:
    """Return plain data, or None with an error noted; None without one is an empty definition."""
    try:
        if isinstance(source, str | bytes):
            return yaml.read(source, findings, _LIMITS)
        return plain(source, findings, Budget(findings, _LIMITS))
    except TooMuchError:
        return None
