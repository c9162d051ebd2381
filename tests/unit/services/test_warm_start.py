"""Campaigns that begin with earlier measurements: which rows count, and the same result anyhow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from materia import Campaign, evaluators, settings
from materia.engine import campaign as engine
from materia.errors import ConflictError, DefinitionError, StateError
from materia.evaluators import warm_start
from materia.services import earlier
from materia.services.evaluation_pool import Recipe
from materia.services.local_run import LocalRun
from materia.services.validation import require, validate

DEFINITION = """\
name: coating
parameters:
  - {name: power, type: continuous, bounds: [50, 200]}
  - {name: layers, type: integer, bounds: [1, 5]}
  - {name: gas, type: categorical, choices: [Ar, N2]}
objectives:
  - {name: hardness, direction: maximize}
constraints:
  - {expression: "power + 10 * layers <= 230"}
evaluator:
  type: expression
  options: {hardness: "12 + power / 50 + a - 0.4 * (layers - 3) ** 2", a: {gas: {Ar: 0, N2: 3}}}
warm_start:
  dataset: measured.csv
optimizer:
  budget: 8
  batch_size: 2
  seed: 3
  active_learning: {initial_samples: 6}
"""
HEADER = "gas,layers,power,hardness,by"
ROWS = [
    f"{gas},{layers},{power},{12 + power / 50 + 3 * (gas == 'N2') - 0.4 * (layers - 3) ** 2},me"
    for gas, layers, power in [
        ("Ar", 1, 60), ("N2", 2, 80), ("Ar", 3, 110), ("N2", 4, 140), ("Ar", 5, 170), ("Ar", 2, 55),
    ]
]  # fmt: skip


def write(folder: Path, rows: list[str], header: str = HEADER) -> Path:
    (folder / "measured.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    path = folder / "coating.yaml"
    path.write_text(DEFINITION, encoding="utf-8")
    return path


def said(folder: Path, text: str = DEFINITION) -> list[tuple[str, str, int | None, str]]:
    _, found = validate(text, data_roots=[folder])
    return [(f.level, f.path, f.line, f"{f.message} ({f.fix})") for f in found]


def run(folder: Path, output: str, definition: str = DEFINITION) -> engine.Campaign:
    checked = require(definition, data_roots=[folder])
    return LocalRun(Recipe(checked, (folder,)), folder / output).run().campaign


def by_hand(campaign: engine.Campaign) -> list[dict[str, Any]]:
    """Go on to the end, and return the params of all candidates."""
    evaluator = evaluators.build(campaign.definition, data_roots=[])
    while n := campaign.next_batch_size():
        for candidate in campaign.ask(n):
            outcomes = evaluator.evaluate(candidate.params, seed=0).outcomes
            campaign.tell({candidate.id: outcomes})
    return [candidate["params"] for candidate in campaign.candidates]


def test_earlier_rows_count_as_initial_samples_and_cost_no_budget(tmp_path: Path) -> None:
    campaign = Campaign.from_yaml(write(tmp_path, ROWS))
    assert campaign.next_batch_size() == 2
    assert campaign.pareto_front()[0]["id"] == "a0004"
    first = campaign.ask()
    assert all(candidate.why["source"] == "ei" for candidate in first)
    assert len(by_hand(campaign)) == 8
    few = Campaign.from_yaml(write(tmp_path, ROWS[:4]))
    assert few.next_batch_size() == 2  # the rest of the initial design
    assert all(candidate.why["source"] == "initial design" for candidate in few.ask())


def test_a_run_equals_the_library_and_may_be_interrupted(tmp_path: Path) -> None:
    path = write(tmp_path, ROWS)
    whole = run(tmp_path, "whole")
    expected = by_hand(Campaign.from_yaml(path))
    assert [candidate["params"] for candidate in whole.candidates] == expected
    saved = Campaign.from_yaml(path)
    saved.ask()
    resumed = Campaign.load(saved.dump())
    evaluator = evaluators.build(resumed.definition, data_roots=[])
    for candidate in resumed.candidates:
        outcomes = evaluator.evaluate(candidate["params"], seed=0).outcomes
        resumed.tell({candidate["id"]: outcomes})
    assert by_hand(resumed) == expected
    # The same run again is finished already, with the hash of its data kept.
    again = run(tmp_path, "whole")
    assert again.dump() == whole.dump()
    assert again.definition.warm_start is not None
    assert again.definition.warm_start.sha256


def test_a_run_does_not_go_on_with_other_data(tmp_path: Path) -> None:
    write(tmp_path, ROWS)
    run(tmp_path, "out")
    write(tmp_path, [*ROWS[:-1], "Ar,2,56,13.1,me"])
    with pytest.raises(ConflictError, match=r"warm_start\.sha256 changed"):
        run(tmp_path, "out")


def test_rows_that_cannot_be_used_are_named_by_line_all_at_once(tmp_path: Path) -> None:
    bad = ["Kr,1,x,,me", "Ar,9,60,12,me", "Ar,3,200.5,14,me", "N2,4,195,14,me", "Ar,2.5,60,12,me"]
    write(tmp_path, [ROWS[0], *bad, ROWS[1]])
    ((level, path, line, text),) = said(tmp_path)
    assert (level, path, line) == ("error", "warm_start.dataset", 14)
    assert "5 of 7 rows of 'measured.csv' cannot be used" in text
    for part in (
        "line 3: 'Kr' is no choice of 'gas'",
        "line 3: 'x' is no number for 'power'",
        "line 3: the cell of 'hardness' is empty",
        "line 4:",
        "line 5:",
        "line 6: power + 10 * layers <= 230",
        "line 7:",
        "bad_rows: skip",
    ):
        assert part in text


def test_bad_rows_are_skipped_and_counted_where_that_is_wanted(tmp_path: Path) -> None:
    write(tmp_path, [ROWS[0], "Kr,1,60,12,me", ROWS[1]])
    text = DEFINITION.replace("measured.csv\n", "measured.csv\n  bad_rows: skip\n")
    ((level, path, _, message),) = said(tmp_path, text)
    assert (level, path) == ("warning", "warm_start.dataset")
    assert "1 row of 'measured.csv' will not be used: line 3: 'Kr' is no choice" in message
    campaign = run(tmp_path, "out", text)
    assert [row["params"]["power"] for row in campaign.dump()["added"]] == [60.0, 80.0]
    write(tmp_path, ["Kr,1,60,12,me"])
    assert "no row of 'measured.csv' can be used" in said(tmp_path, text)[0][3]


@pytest.mark.parametrize(
    ("old", "new", "where", "part"),
    [
        ("measured.csv", "none.csv", "warm_start.dataset", "there is no file 'none.csv'"),
        ("measured.csv", "../../etc/passwd", "warm_start.dataset", "outside the folders"),
        ("dataset: measured.csv", "datset: measured.csv", "warm_start.datset", "'dataset'"),
        ("measured.csv\n", "measured.csv\n  columns: {hardnes: H}\n",
         "warm_start.columns.hardnes", "did you mean 'hardness'?"),
        ("measured.csv\n", "measured.csv\n  columns: {hardness: H}\n",
         "warm_start.dataset", "has no column 'H'"),
        ("measured.csv\n", "measured.csv\n  bad_rows: ignore\n", "warm_start.bad_rows", "skip"),
        ("measured.csv\n", "measured.csv\n  sem: {hardnes: e}\n",
         "warm_start.sem.hardnes", "did you mean 'hardness'?"),
        ("measured.csv\n", "measured.csv\n  sem: {hardness: e}\n",
         "warm_start.dataset", "has no column 'e'"),
        ("measured.csv\n", f"measured.csv\n  sha256: {'a' * 64}\n",
         "warm_start.sha256", "has changed"),
        ("warm_start:\n  dataset: measured.csv", "warm_start: measured.csv",
         "warm_start", "{dataset: measured.csv}"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_section_is_said_where_it_is(
    tmp_path: Path, old: str, new: str, where: str, part: str
) -> None:
    write(tmp_path, ROWS)
    found = said(tmp_path, DEFINITION.replace(old, new))
    assert any(path == where and line and part in text for _, path, line, text in found), found


def test_headings_delimiter_and_order_of_columns_are_free(tmp_path: Path) -> None:
    rows = [row.replace(",", ";") for row in ROWS]
    write(tmp_path, rows, "gas;layers;P / W;hardness;by")
    text = DEFINITION.replace(
        "measured.csv\n", 'measured.csv\n  columns: {power: "P / W"}\n  delimiter: ";"\n'
    )
    assert said(tmp_path, text) == []


def with_errors(folder: Path, cells: list[str]) -> str:
    """Write the measurements with a column of standard errors; returns the definition."""
    rows = [f"{row},{cell}" for row, cell in zip(ROWS, cells, strict=True)]
    write(folder, rows, f"{HEADER},e / GPa")
    return DEFINITION.replace("measured.csv\n", 'measured.csv\n  sem: {hardness: "e / GPa"}\n')


def test_standard_errors_are_told_where_there_are_some(tmp_path: Path) -> None:
    text = with_errors(tmp_path, ["0.5", "", "0", "0.25", "2", "1e-3"])
    assert said(tmp_path, text) == []
    campaign = run(tmp_path, "out", text)
    told = [row["outcomes"]["hardness"] for row in campaign.dump()["added"]]
    assert [value[1] if isinstance(value, list) else None for value in told] == [
        *(0.5, None, 0.0, 0.25, 2.0, 0.001)
    ]
    # They count: the surrogate then proposes other candidates than without them.
    write(tmp_path, ROWS)
    exact = run(tmp_path, "exact")
    assert campaign.candidates[0]["params"] != exact.candidates[0]["params"]


def test_a_standard_error_that_will_not_do_is_named_by_line(tmp_path: Path) -> None:
    text = with_errors(tmp_path, ["-1", "x", "nan", "0", "0", "0"])
    (finding,) = said(tmp_path, text)
    for part in (
        "3 of 6 rows",
        "line 2: the standard error of hardness is negative",
        "line 3: 'x' is no number for 'standard error of hardness'",
        "line 4: 'standard error of hardness' is nan",
    ):
        assert part in finding[3]


def test_parquet_gives_the_same_campaign_as_csv(tmp_path: Path) -> None:
    text = with_errors(tmp_path, ["0.5", "", "0", "0.25", "2", "1e-3"])
    from_csv = run(tmp_path, "csv", text)
    pl.read_csv(tmp_path / "measured.csv").write_parquet(tmp_path / "measured.parquet")
    from_parquet = run(tmp_path, "parquet", text.replace("measured.csv", "measured.parquet"))
    assert from_parquet.candidates == from_csv.candidates
    assert from_parquet.dump()["added"] == from_csv.dump()["added"]


def test_a_server_keeps_a_copy_of_its_own_of_parquet_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATERIA_DATA_DIR", str(tmp_path))
    settings.current.cache_clear()
    root = settings.current().data_root
    root.mkdir()
    text = with_errors(root, ["0.5", "", "0", "0.25", "2", "1e-3"])
    pl.read_csv(root / "measured.csv").write_parquet(root / "measured.parquet")
    definition = require(text.replace("measured.csv", "measured.parquet"), data_roots=[root])
    pinned = earlier.pin(definition, data_roots=[root])
    earlier.keep(pinned)
    (root / "measured.parquet").unlink()
    rows = earlier.rows_of(pinned.model_dump(mode="json"))
    assert [row["outcomes"]["hardness"] for row in rows][1:4:2] == [
        pytest.approx(16.2),
        [pytest.approx(17.4), 0.25],
    ]


def test_faults_of_parquet_are_named(tmp_path: Path) -> None:
    text = DEFINITION.replace("measured.csv", "measured.parquet")
    path = tmp_path / "measured.parquet"
    path.write_bytes(b"PAR1 no")
    assert "cannot be read as Parquet" in said(tmp_path, text)[0][3]
    columns = {"gas": ["Kr", None], "layers": [1, None], "power": [60.0, None]}
    pl.DataFrame({**columns, "hardness": [None, None]}).write_parquet(path)
    found = said(tmp_path, text)[0][3]
    assert "1 of 1 rows" in found
    assert "line 2: 'Kr' is no choice of 'gas'" in found
    assert "the cell of 'hardness' is empty" in found


def test_the_engine_alone_wants_the_rows(tmp_path: Path) -> None:
    definition = require(write(tmp_path, ROWS).read_text(), data_roots=[tmp_path])
    with pytest.raises(StateError, match=r"measured\.csv"):
        engine.Campaign.from_definition(definition)
    rows = [{"params": {"power": 60.0, "layers": 1, "gas": "Ar"}, "outcomes": {"hardness": 13.0}}]
    campaign = engine.Campaign.from_definition(definition, earlier=rows)
    assert campaign.best() == {"id": "a0001", **rows[0]}


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_start, "MAX_ROWS", 5)
    write(tmp_path, ROWS)
    with pytest.raises(DefinitionError, match="at most 5 can be used"):
        require(DEFINITION, data_roots=[tmp_path])
