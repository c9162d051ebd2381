"""A good definition to break in one place at a time, and what a test asks of its findings."""

from __future__ import annotations

from typing import Any

import yaml as pyyaml

from materia.mdl import Finding, check

TEXT = """\
name: li-ion
description: A battery.
parameters:
  - {name: ni, type: continuous, bounds: [0.3, 0.9], unit: mol/mol}
  - {name: temp, type: integer, bounds: [700, 950], step: 10}
  - {name: solvent, type: categorical, choices: [EC-DMC, EC-DEC]}
  - name: alloy
    type: composition
    total: 100
    parts:
      - {name: Cu, bounds: [0, 60]}
      - {name: Pd}
      - {name: Pt}
objectives:
  - {name: energy, direction: maximize, reference_point: 100}
  - {name: cost, direction: minimize}
constraints:
  - expression: ni + Cu / 100 <= 1.0
outcome_constraints:
  - expression: cost <= 500
evaluator:
  type: ase
  options: {relax: true}
optimizer:
  acquisition: auto
  budget: 200
  batch_size: 10
  seed: 42
  active_learning:
    initial_samples: 20
    convergence_patience: 5
"""
DATA: dict[str, Any] = pyyaml.safe_load(TEXT)
JARGON = ("pydantic", "Input should", "Field required", "http", "validation error", "Traceback")


def changed(*pairs: tuple[str, str]) -> str:
    text = TEXT
    for old, new in pairs:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def findings_of(source: Any, level: str = "error") -> list[Finding]:
    definition, found = check(source)
    assert (definition is None) == any(f.level == "error" for f in found)
    for finding in found:
        assert finding.fix, finding
        assert not any(word in str(finding) for word in JARGON), finding
    return [f for f in found if f.level == level]


def only(source: Any, level: str = "error") -> Finding:
    _, everything = check(source)
    found = findings_of(source, level)
    assert len(found) == len(everything) == 1, everything
    return found[0]


def line_of(text: str) -> int:
    """Return the line of the good definition on which `text` stands first."""
    return 1 + TEXT[: TEXT.index(text)].count("\n")
