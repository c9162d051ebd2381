"""Measured rows from a file, and what is said about a file that cannot be used."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from materia import evaluators
from materia.errors import AccessError, DataError, DefinitionError, EvaluationError
from materia.evaluators.places import Places
from materia.mdl.definition import Definition

HEADER = "t,n,gas,strength,note"
ROWS = ["1.5,2,Ar,10.0,a", "1.5,2,Ar,14,b", "2.5,4,N2,20,", " 0.5 , 2 ,Ar, 7 ,c"]


def definition(
    file: str = "rows.csv", constraints: list[str] | None = None, **options: object
) -> Definition:
    return Definition.model_validate(
        {
            "name": "pool",
            "parameters": [
                {"name": "t", "type": "continuous", "bounds": [0, 10]},
                {"name": "n", "type": "integer", "bounds": [2, 8], "step": 2},
                {"name": "gas", "type": "categorical", "choices": ["Ar", "N2"]},
            ],
            "objectives": [{"name": "strength", "direction": "maximize"}],
            "constraints": [{"expression": text} for text in constraints or []],
            "evaluator": {"type": "table", "options": {"file": file, **options}},
        }
    )


def write(folder: Path, *rows: str, header: str = HEADER, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def messages(declared: Definition, folder: Path) -> str:
    findings = evaluators.check(declared, data_roots=[folder])
    assert all(f.level == "error" for f in findings)
    return " | ".join(str(finding) for finding in findings)


def test_distinct_rows_are_the_pool_and_replicates_are_averaged(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)
    evaluator = evaluators.build(definition(), data_roots=[tmp_path])
    pool = evaluator.pool()
    assert pool == [
        {"t": 1.5, "n": 2, "gas": "Ar"},
        {"t": 2.5, "n": 4, "gas": "N2"},
        {"t": 0.5, "n": 2, "gas": "Ar"},
    ]
    assert isinstance(pool[0]["n"], int)
    evaluation = evaluator.evaluate(pool[0], seed=3)
    assert evaluation.outcomes == {"strength": 12.0}
    assert evaluation.metadata["replicates"] == 2
    assert evaluation.metadata["std"]["strength"] == pytest.approx(2**1.5)
    assert evaluator.evaluate(pool[1], seed=3).outcomes == {"strength": 20.0}


def test_a_candidate_that_is_no_row_fails(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)
    evaluator = evaluators.build(definition(), data_roots=[tmp_path])
    with pytest.raises(EvaluationError, match="no row"):
        evaluator.evaluate({"t": 1.6, "n": 2, "gas": "Ar"}, seed=0)


def test_a_changed_pool_does_not_change_the_evaluator(tmp_path: Path) -> None:
    write(tmp_path, *ROWS)
    evaluator = evaluators.build(definition(), data_roots=[tmp_path])
    evaluator.pool()[0]["t"] = 9.0
    assert evaluator.pool()[0]["t"] == 1.5


def test_headings_and_delimiter_may_differ(tmp_path: Path) -> None:
    write(tmp_path, "1;2;Ar;5", header="Thickness (mm);n;gas;Strength (MPa)")
    declared = definition(
        columns={"t": "Thickness (mm)", "strength": "Strength (MPa)"}, delimiter=";"
    )
    evaluator = evaluators.build(declared, data_roots=[tmp_path])
    assert evaluator.evaluate({"t": 1.0, "n": 2, "gas": "Ar"}, seed=0).outcomes["strength"] == 5


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    text = "\n".join([HEADER, ROWS[0], "", ",,,,", ROWS[2], ""])
    (tmp_path / "rows.csv").write_bytes(codecs.BOM_UTF8 + text.encode())
    evaluator = evaluators.build(definition(), data_roots=[tmp_path])
    assert len(evaluator.pool()) == 2


def test_rows_outside_the_space_or_against_a_constraint_are_left_out_and_reported(
    tmp_path: Path,
) -> None:
    write(tmp_path, *ROWS, "11,2,Ar,1,x", "1,3,Ar,1,x", "8,8,Ar,1,x")
    declared = definition(constraints=["t + n <= 12"])
    (finding,) = evaluators.check(declared, data_roots=[tmp_path])
    assert finding.level == "warning"
    assert "3 rows" in finding.message
    assert "line 6" in finding.message
    assert "t + n <= 12" in finding.message
    assert len(evaluators.build(declared, data_roots=[tmp_path]).pool()) == 3


@pytest.mark.parametrize(
    ("header", "rows", "words"),
    [
        ("t,n,gas,strenght", ["1,2,Ar,5"], ["no column 'strength'", "'strenght'"]),
        ("t;n;gas;strength", ["1;2;Ar;5"], ["no column", "delimiter"]),
        ("t,t,n,gas,strength", ["1,1,2,Ar,5"], ["more than one column 't'"]),
        (HEADER, [], ["no rows"]),
        (HEADER, ["1,2,Ar,abc,"], ["line 2", "'abc' is no number for 'strength'"]),
        (HEADER, ["1,2,Ar,,"], ["line 2", "empty"]),
        (HEADER, ["1,2,Ar,nan,"], ["line 2", "not a finite number"]),
        (HEADER, ["1,2,Ar,1e999,"], ["line 2", "not a finite number"]),
        (HEADER, ["1,2,He,5,"], ["line 2", "'He' is no choice of 'gas'"]),
        (HEADER, [ROWS[0], "1,2,Ar"], ["line 3 has 3 cells", "header has 5"]),
        (HEADER, ['1,2,"Ar,5,'], ["line 2", "unexpected end of data"]),
        (HEADER, ["99,2,Ar,5,"], ["no row", "outside"]),
        (HEADER, [f"x{i},2,Ar,5," for i in range(9)], ["line 6", "4 more"]),
    ],
)
def test_a_faulty_file_is_an_error_that_says_where(
    tmp_path: Path, header: str, rows: list[str], words: list[str]
) -> None:
    write(tmp_path, *rows, header=header)
    found = messages(definition(), tmp_path)
    assert [word for word in words if word not in found] == []
    assert "evaluator.options.file" in found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"t,n\xff\xfe\n", "not UTF-8"),
        (b"\0", "no column 't'"),
    ],
)
def test_a_file_that_is_no_table_is_an_error(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    assert words in messages(definition(), tmp_path)


def test_a_missing_file_and_an_unknown_column_name_are_errors(tmp_path: Path) -> None:
    assert "there is no file 'rows.csv'" in messages(definition(), tmp_path)
    write(tmp_path, *ROWS)
    assert "did you mean 'strength'" in messages(definition(columns={"strengt": "s"}), tmp_path)
    with pytest.raises(DefinitionError):
        evaluators.build(definition("other.csv"), data_roots=[tmp_path])


def test_a_file_outside_the_allowed_folders_is_never_read(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir(), outside.mkdir()
    secret = write(outside, "this is not read", header="secret")
    (root / "link.csv").symlink_to(secret)
    places = Places.of([root])
    for name in (str(secret), "../outside/rows.csv", "link.csv", "/dev/zero", "/etc/passwd"):
        with pytest.raises(AccessError, match="outside"):
            places.find(name)
        found = messages(definition(name), root)
        assert "outside the folders" in found
        assert "secret" not in found.replace(str(secret), "")
    for name in ("", "rows\0.csv"):
        with pytest.raises(DataError):
            places.find(name)


def test_a_relative_path_starts_at_the_definition_and_an_absolute_one_inside_a_root_is_fine(
    tmp_path: Path,
) -> None:
    (tmp_path / "lab").mkdir()
    path = write(tmp_path / "lab", *ROWS)
    beside = evaluators.build(definition(), data_roots=[tmp_path], base_dir=tmp_path / "lab")
    absolute = evaluators.build(definition(str(path)), data_roots=[tmp_path])
    assert beside.pool() == absolute.pool()


def test_a_folder_of_a_definition_grants_no_access_by_itself(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    write(tmp_path, *ROWS)
    with pytest.raises(AccessError):
        Places.of([tmp_path / "root"], tmp_path).find("rows.csv")


def test_a_file_of_candidates_needs_only_the_parameters(tmp_path: Path) -> None:
    write(tmp_path, "1,2,Ar", "3,4,N2", "1,2,Ar", header="t,n,gas", name="pool.csv")
    declared = definition().model_copy(update={"evaluator": None, "candidates": "pool.csv"})
    assert evaluators.pool_of(declared, data_roots=[tmp_path]) == [
        {"t": 1.0, "n": 2, "gas": "Ar"},
        {"t": 3.0, "n": 4, "gas": "N2"},
    ]


def test_a_file_of_candidates_is_checked_with_the_definition(tmp_path: Path) -> None:
    declared = definition().model_copy(update={"evaluator": None, "candidates": "pool.csv"})
    (missing,) = evaluators.check(declared, data_roots=[tmp_path])
    assert (missing.level, missing.path) == ("error", "candidates")
    write(tmp_path, "1,2,Ar", "30,4,N2", header="t,n,gas", name="pool.csv")
    (left_out,) = evaluators.check(declared, data_roots=[tmp_path])
    assert (left_out.level, left_out.path) == ("warning", "candidates")
    assert "1 row of 'pool.csv'" in left_out.message


def test_a_definition_with_an_open_space_has_no_pool() -> None:
    declared = definition().model_copy(update={"evaluator": None})
    assert evaluators.pool_of(declared, data_roots=[]) is None
