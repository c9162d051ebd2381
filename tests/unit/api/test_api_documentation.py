"""The API describes itself completely, without the internet."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import lru_cache

import pytest

from materia.api.app import create_app
from materia.api.documentation import FILE
from serving import DEFAULTS, in_process, openapi


def test_the_docs_page_names_every_operation_and_loads_nothing() -> None:
    app = create_app(DEFAULTS)
    with in_process(app) as client:
        answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"<script|<link|src=|https?://|@import|url\(", answer.text)
    for path in app.openapi()["paths"]:
        assert path in answer.text


def test_every_reference_of_the_openapi_file_leads_somewhere() -> None:
    document = openapi()
    found = set(re.findall(r"'\$ref': '#/components/schemas/([^']+)'", str(document)))
    assert found <= set(document["components"]["schemas"])
    assert {"Definition", "Campaign", "Job", "Problem"} <= found


def test_every_operation_says_what_it_answers_and_how_it_refuses() -> None:
    for path, operations in openapi()["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            good = next(a for status, a in answers.items() if status.startswith("2"))
            if not {FILE, "text/plain"} & set(good["content"]):
                assert "$ref" in str(good["content"]["application/json"]["schema"]), path
            for status, refusal in answers.items():
                if not status.startswith("2"):
                    assert list(refusal["content"]) == ["application/problem+json"], path
            assert operation["description"], path


@pytest.mark.parametrize(
    "heavy", ["numpy", "scipy", "materia.engine", "materia.evaluators", "torch", "ray", "ase"]
)
def test_the_api_starts_without(heavy: str) -> None:
    assert "materia.api.app" in loaded()
    assert heavy not in loaded()


@lru_cache(maxsize=1)
def loaded() -> set[str]:
    """Return what a fresh process has loaded once it has made the application."""
    code = (
        "import sys, materia.api.__main__\n"
        "from materia.api.app import create_app\n"
        "create_app().openapi()\n"
        "print(*sys.modules, sep='\\n')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())
