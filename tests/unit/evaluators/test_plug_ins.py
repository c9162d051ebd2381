"""Evaluators that another package brings: the example of the guide, really installed."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from materia import evaluators
from materia.mdl import check
from materia.testing.evaluators import EvaluatorSuite

PAGE = (Path(__file__).parents[3] / "docs" / "evaluators.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("\n## Plug-ins") :]
DECLARED: dict[str, Any] = {
    "name": "kiln",
    "parameters": [{"name": "temperature", "type": "continuous", "bounds": [200, 1100]}],
    "objectives": [{"name": "strength", "direction": "maximize"}],
    "evaluator": {"type": "acme.kiln", "options": {"ceiling": 1150}},
    "optimizer": {"budget": 6, "batch_size": 2, "seed": 1},
}


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install the package of the guide, and two that are broken, as pip would."""
    folder = tmp_path_factory.mktemp("site")
    (code,) = re.findall(r"^```python\n(.*?)^```$", SECTION, re.M | re.S)
    (points,) = re.findall(r"^```toml\n\[.*?\]\n(.*?)^```$", SECTION, re.M | re.S)
    (folder / "acme_kiln.py").write_text(code, encoding="utf-8")
    about = folder / "acme_kiln-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kiln\nVersion: 1.0\n")
    broken = "acme.nothing = acme_kiln:Nothing\nacme.number = math:pi\n"
    (about / "entry_points.txt").write_text(
        f"[{evaluators.GROUP}]\n{points.replace(chr(34), '')}{broken}"
    )
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    evaluators.kind_of.cache_clear()
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("acme_kiln", None)
    evaluators.kind_of.cache_clear()


class TestTheExample(EvaluatorSuite):
    declared = DECLARED


class TestOneOfOurs(EvaluatorSuite):
    declared: ClassVar[dict[str, Any]] = {
        **DECLARED,
        "evaluator": {"type": "expression", "options": {"strength": "temperature ** 2"}},
    }


def findings(**changed: Any) -> list[tuple[str, str, str | None]]:
    declared = {**DECLARED, **changed}
    definition, found = check(declared)
    assert definition is not None, found
    found = evaluators.check(definition, data_roots=[])
    return [(finding.path, finding.message, finding.fix) for finding in found]


def test_options_and_parameters_are_checked_like_ours() -> None:
    ((path, message, _),) = findings(evaluator={"type": "acme.kiln", "options": {"ceiling": "hot"}})
    assert path == "evaluator.options.ceiling"
    assert "number" in message
    parameter = {"name": "pressure", "type": "continuous", "bounds": [0, 1]}
    ((path, message, _),) = findings(parameters=[parameter])
    assert (path, message) == ("parameters", "acme.kiln needs one parameter, 'temperature'")


@pytest.mark.parametrize(
    ("type_", "message", "fix"),
    [
        ("acme.oven", "there is no evaluator 'acme.oven'", "install the package"),
        ("kiln", "there is no evaluator 'kiln'", "acme.kiln"),
        ("acme.nothing", "cannot be loaded: AttributeError", None),
        ("acme.number", "is no evaluator", "class of Evaluator"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_a_finding(
    type_: str, message: str, fix: str | None
) -> None:
    ((path, said, hint),) = findings(evaluator={"type": type_})
    assert path == "evaluator.type"
    assert message in said
    assert fix is None or fix in str(hint)
