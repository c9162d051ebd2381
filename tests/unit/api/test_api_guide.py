"""`docs/api.md` and the API say the same."""

from __future__ import annotations

import re
from pathlib import Path

from materia import errors
from materia.api import live
from materia.api.paging import MAX_LIMIT
from materia.api.problems import CODES
from materia.client.problems import BY_CODE
from materia.events.models import EventType
from serving import BASE, openapi

GUIDE = (Path(__file__).parents[3] / "docs" / "api.md").read_text()


def test_every_operation_is_in_the_guide() -> None:
    for path in openapi()["paths"]:
        last = re.sub(r"\w+_id}", "id}", path.removeprefix(BASE))
        assert last in GUIDE or f"/{last.rsplit('/', 1)[1]}`" in GUIDE, path


def test_every_code_of_a_refusal_is_in_the_guide() -> None:
    tree = set(BY_CODE) - {errors.MateriaError.code}
    for code in (*tree, *CODES.values(), "internal", "not_ready"):
        assert f"`{code}`" in GUIDE, code


def test_every_type_of_event_is_in_the_guide() -> None:
    for kind in (*EventType, "resync"):
        assert f"`{kind}`" in GUIDE, kind


def test_numbers_of_the_guide_are_those_of_the_code() -> None:
    assert f"(at most {MAX_LIMIT})" in GUIDE
    codes = {int(found) for found in re.findall(r"\b(?:10\d\d|44\d\d)\b", GUIDE)}
    assert codes == {1012, live.TRY_AGAIN, live.BAD_REQUEST, live.NOT_ALLOWED, live.UNKNOWN}
