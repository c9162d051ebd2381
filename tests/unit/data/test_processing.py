"""Tables of every kind of fault go in, and every row comes out somewhere, whatever the pieces."""

from __future__ import annotations

import csv
import gzip
import io
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_tables import outcome, rejects, run, written

from materia.data import ordering, process
from materia.errors import DataError, DefinitionError, MateriaError, NotFoundError

CHUNKS = (1, 10, 97)


def mixed_table(n_rows: int) -> bytes:
    """Return a table with quoted line breaks and one of each fault of a row."""
    lines = [b"id,amount,city,note\n"]
    for row in range(n_rows):
        note = b'"a ""b"" %d\nc,d"' % row if row % 5 == 0 else b"plain"
        lines.append(b"%d,%d.5,%s,%s\n" % (row, row % 200, [b"Ulm", b"K\xc3\xb6ln"][row % 2], note))
        faults = [b"short\n", b'1,"a"b,c,d\n', b"1,lots,c,d\n", b"1,2,\xff,d\n", b"1,2,3,4,5\n"]
        if row % 41 == 0:
            lines.append(faults[row // 41 % 5])
    return b"".join(lines)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize(
    "steps",
    [
        {"filter": {"amount": 100}, "new_columns": {"root": "sqrt(amount) + exp(-amount) * id"}},
        {"sort": ["city", "-amount"], "select": ["id", "city"]},
        {"drop_duplicates": ["amount", "city"], "types": {"amount": "float"}},
    ],
)
def test_the_number_of_chunks_changes_no_byte(
    tmp_path: Path, ending: str, steps: dict[str, Any]
) -> None:
    source = written(tmp_path / "in.csv", mixed_table(3000))
    made = []
    for n_chunks in CHUNKS:
        result = run(source, {**steps, "num_chunks": n_chunks}, f"out{ending}")
        content = (tmp_path / f"out{ending}").read_bytes()
        made.append((content, rejects(result), {**result, "num_chunks": 0}))
        assert result["num_chunks"] == n_chunks
    assert made[0] == made[1] == made[2]
    # Of 74 faults 15 are wrong numbers, which matter only where numbers are needed.
    assert made[0][2]["rows_rejected"] == (59 if "sort" in steps else 74)


cells = st.text(alphabet='a1.5 ,"\n\ré\x00', max_size=6)
raw_lines = st.lists(
    st.one_of(
        st.lists(cells, min_size=1, max_size=4).map(lambda row: csv_line(row).encode()),
        st.text(alphabet='a1,"é\r', max_size=8).map(lambda text: text.encode() + b"\n"),
        st.sampled_from([b"\n", b"\xff,1\n", b'1,"x\n', b'1,x"\n', b"3,4\r\n", b'5,"6"\r\n']),
    ),
    max_size=25,
)


def csv_line(row: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(row)
    return line.getvalue()


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines=raw_lines)
def test_any_text_gives_the_same_in_any_pieces_and_loses_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[bytes]
) -> None:
    monkeypatch.setattr("materia.data.source.LEAST_BLOCK_BYTES", 1)
    source = written(tmp_path / "in.csv", b"a,b\n" + b"".join(lines))
    made = []
    for n_chunks in (1, 3, 97):
        try:
            result = run(source, {"num_chunks": n_chunks, "new_columns": {"c": "b * 2"}})
        except MateriaError as error:
            made.append(str(error))
            continue
        made.append(((tmp_path / "out.csv").read_bytes(), rejects(result), result["rows_read"]))
        assert result["rows_read"] == result["rows_written"] + result["rows_rejected"]
    assert made[0] == made[1] == made[2]


rows_of_text = st.lists(st.tuples(cells, cells), max_size=30)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=rows_of_text)
def test_every_well_formed_cell_comes_through_as_it_is(
    tmp_path: Path, rows: list[tuple[str, str]]
) -> None:
    content = "a,b\n" + "".join(csv_line(list(row)) for row in rows)
    text, result, _ = outcome(tmp_path, content)
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [list(row) for row in rows]
    assert result["rows_written"] == len(rows)


uneven_rows = st.lists(
    st.tuples(st.integers(-2, 3), st.sampled_from(["", "a", "1.5", "é"])), min_size=1, max_size=30
)
ways = st.sampled_from(
    [
        {},
        {"select": ["a", "b"]},
        {"select": ["b"], "filter": {"b": {"==": "x"}}},
        {"new_columns": {"d": "1"}},
        {"types": {"c": "text"}, "select": ["c", "a"]},
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(uneven=uneven_rows, is_balanced=st.booleans(), way=ways)
def test_a_row_with_too_few_cells_never_hides_behind_one_with_too_many(
    tmp_path: Path, uneven: list[tuple[int, str]], is_balanced: bool, way: dict[str, Any]
) -> None:
    cells = [["x"] * 2 + [last] for _, last in uneven]
    extra = [n for n, _ in uneven]
    if is_balanced:
        cells, extra = cells * 2, extra + [-n for n in extra]
    lines = [
        ",".join([*row, *"y" * n] if n > 0 else row[: 3 + n])
        for row, n in zip(cells, extra, strict=True)
    ]
    _, result, found = outcome(tmp_path, "\n".join(["a,b,c", *lines, ""]), way)
    wrong = [number for number, line in enumerate(lines, 2) if line and line.count(",") != 2]
    assert [int(line) for line, _, _ in found] == wrong
    assert result["rows_read"] == sum(map(bool, lines))


def test_few_bad_rows_of_a_long_block_are_named_and_the_others_kept(tmp_path: Path) -> None:
    bad = {
        100: ("2", "2 cells"),
        9_000: ("2,3,x,y", "5 cells"),
        9_001: ("2,3", "3 cells"),
        9_002: ("2,3", "3 cells"),
        9_003: ("2,3,x,y", "5 cells"),
        20_000: ("many,3,x", "'many' is not a number"),
        30_000: ("2,3,\udcff", "not UTF-8"),
        39_999: ("1e308,1e308,x", "undefined"),
    }
    rows = [f"{n},{n % 7}.5,2,München" for n in range(40_000)]
    lines = [f"{n},{bad[n][0]}" if n in bad else row for n, row in enumerate(rows)]
    lines.insert(5_000, "")
    text = "\n".join(["id,a,b,c", *lines]).encode("utf-8", "surrogateescape") + b"\n"
    steps = {"filter": {"id": 10}, "new_columns": {"d": "a * b"}, "num_chunks": 1}
    found, _, rejected = outcome(tmp_path, text, steps)
    kept = [n for n in range(11, 40_000) if n not in bad]
    assert found.splitlines()[1:] == [f"{rows[n]},{(n % 7 + 0.5) * 2}" for n in kept]
    assert [int(line) for line, _, _ in rejected] == [n + 2 + (n >= 5_000) for n in bad]
    for (_, reason, _), (_, said) in zip(rejected, bad.values(), strict=True):
        assert said in reason


def test_rows_that_cannot_be_used_are_named_with_line_and_reason(tmp_path: Path) -> None:
    content = (
        b"id,amount,note\n"
        b'1,5,"two\nlines"\n'
        b"2,6\n"
        b"\n"
        b"3,7,x,y\n"
        b"4,many,x\n"
        b"5,8,\xe9\n"
        b'6,9,"x"y\n'
        b"7,inf,x\n"
        b"8,0,x\n"
        b"9,,x\n"
    )
    text, result, rows = outcome(tmp_path, content, {"new_columns": {"inverse": "1 / amount"}})
    assert [row[0] for row in rows] == ["4", "6", "7", "8", "9", "10", "11"]
    reasons = {row[0]: row[1] for row in rows}
    assert reasons["4"] == "2 cells where the header has 3"
    assert reasons["6"] == "4 cells where the header has 3"
    assert reasons["7"] == "'many' is not a number for 'amount'"
    assert "UTF-8" in reasons["8"]
    assert "closing quote" in reasons["9"]
    assert "finite" in reasons["10"]
    assert reasons["11"] == "the formula of 'inverse' is undefined at amount = 0"
    assert rows[0][2] == "2,6"
    assert rows[4][2] == '6,9,"x"y'
    assert text == 'id,amount,note,inverse\n1,5,"two\nlines",0.2\n9,,x,\n'
    assert (result["rows_read"], result["rows_written"]) == (9, 2)


def test_a_stray_quote_costs_one_line_and_not_what_follows(tmp_path: Path) -> None:
    content = 'a,b\n1,"oops\n2,y\n3,"z"\n4,w\n'
    text, _, rows = outcome(tmp_path, content)
    assert [row[0] for row in rows] == ["2"]
    assert text == "a,b\n2,y\n3,z\n4,w\n"


def test_an_inch_sign_inside_a_cell_is_text(tmp_path: Path) -> None:
    text, _, rows = outcome(tmp_path, 'size,n\n5" pipe,1\n')
    assert text == 'size,n\n"5"" pipe",1\n'
    assert rows == []


def test_faultless_input_leaves_no_rejects_file_not_even_an_old_one(tmp_path: Path) -> None:
    _, result, _ = outcome(tmp_path, "a,b\n1\n")
    assert Path(result["rejects_file"]).exists()
    _, again, _ = outcome(tmp_path, "a,b\n1,2\n")
    assert again["rejects_file"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_rejected_rows_never_replace_the_input_or_a_file_of_somebody_else(tmp_path: Path) -> None:
    _, result, _ = outcome(tmp_path, "a,b\n1\n2,3\n")
    rejected = Path(result["rejects_file"])
    assert rejected.name == "out.csv.rejects.csv"
    before = rejected.read_bytes()
    with pytest.raises(DataError, match="is the input, and rejected rows would replace it"):
        run(rejected)
    assert rejected.read_bytes() == before
    assert run(rejected, None, "mended.csv")["rows_written"] == 1
    for content in ("mine\n", "line,reason,rows\n", ""):
        rejected.write_text(content)
        with pytest.raises(DataError, match="no file of rejected rows"):
            run(tmp_path / "in.csv")
        assert rejected.read_text() == content
    other = written(tmp_path / "out.rejects.csv", "mine\n")
    rejected.unlink()
    run(written(tmp_path / "good.csv", "a\n1\n"))
    assert other.read_text() == "mine\n"


def test_outputs_of_one_stem_have_rejects_of_their_own(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", "a,b\n1\n2,3\n")
    named = {run(source, None, name)["rejects_file"] for name in ("x.csv", "x.csv.gz", "x.parquet")}
    assert {Path(name).name for name in named} == {
        "x.csv.rejects.csv",
        "x.csv.gz.rejects.csv",
        "x.parquet.rejects.csv",
    }


def test_jobs_that_race_for_one_output_leave_a_pair_of_one_job(tmp_path: Path) -> None:
    sources = [
        written(tmp_path / f"{n}.csv", f"a,b\n{n},{n}\n{n}\n" if n % 2 else f"a,b\n{n},{n}\n")
        for n in range(4)
    ]
    for _ in range(10):
        with ThreadPoolExecutor(len(sources)) as pool:
            list(pool.map(run, sources))
        n = int((tmp_path / "out.csv").read_text().split()[1][0])
        rejected = tmp_path / "out.csv.rejects.csv"
        assert rejected.exists() == bool(n % 2)
        if n % 2:
            assert rejected.read_text().endswith(f",{n}\n")


FILTERED = [
    ({"n": 2}, [3, 10]),
    ({"n": {">=": 2}}, [2, 3, 10]),
    ({"n": {"<": 3}}, [1, 2]),
    ({"n": {"<=": 2.5, ">": 1}}, [2]),
    ({"n": {"==": 10}}, [10]),
    ({"n": {"!=": 10}}, [1, 2, 3]),
    ({"n": {"in": [1, 10, 11]}}, [1, 10]),
    ({"city": {"in": ["Ulm"]}}, [1, 3]),
    ({"city": {"==": "Bonn"}}, [2]),
    ({"city": {"null": True}}, [10]),
    ({"city": {"not_null": True}, "n": {"<": 3}}, [1, 2]),
    ({"city": {"!=": "Ulm"}}, [2]),
    ({"ok": {"==": True}}, [1, 3]),
    ({"double": {">": 6}}, [10]),
]


@pytest.mark.parametrize(("wanted", "expected"), FILTERED)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_filters_keep_what_they_say(
    tmp_path: Path, kind: str, wanted: dict[str, Any], expected: list[int]
) -> None:
    source = written(tmp_path / "in.csv", "n,city,ok\n1,Ulm,true\n2,Bonn,no\n3,Ulm,1\n10,,false\n")
    if kind == "parquet":
        run(source, {"types": {"n": "integer", "ok": "boolean"}}, "typed.parquet")
        source = tmp_path / "typed.parquet"
    result = run(source, {"filter": wanted, "new_columns": {"double": "2 * n"}})
    kept = pl.read_csv(tmp_path / "out.csv")["n"].to_list()
    assert kept == expected
    assert result["rows_filtered"] == 4 - len(expected)
    assert result["rows_rejected"] == 0


def test_a_bare_number_is_strictly_greater(tmp_path: Path) -> None:
    text, result, _ = outcome(tmp_path, "amount\n100\n100.5\n99\n", {"filter": {"amount": 100}})
    assert text == "amount\n100.5\n"
    assert result["total_rows_processed"] == 3


def test_formulas_use_earlier_ones_and_headings_with_spaces(tmp_path: Path) -> None:
    steps = {"new_columns": {"total": "unit_price * n", "half": "max(total, 1) / 2 ** 1"}}
    text, _, _ = outcome(tmp_path, "unit price,n\n2.5,4\n", steps)
    assert text == "unit price,n,total,half\n2.5,4,10.0,5.0\n"


def test_a_filter_shields_a_formula_from_rows_where_it_is_undefined(tmp_path: Path) -> None:
    steps = {"filter": {"a": {"!=": 0}}, "new_columns": {"b": "1 / a"}}
    _, result, _ = outcome(tmp_path, "a\n0\n4\n", steps)
    assert (result["rows_filtered"], result["rows_rejected"]) == (1, 0)


def test_select_rename_and_types(tmp_path: Path) -> None:
    steps = {
        "types": {"n": "int", "day": "date", "ok": "bool"},
        "select": ["day", "n"],
        "rename": {"n": "count"},
    }
    text, _, rows = outcome(
        tmp_path, "n,day,ok\n007,2026-01-31,yes\n8.0,2026-02-30,no\n1.5,2026-01-01,no\n", steps
    )
    assert text == "day,count\n2026-01-31,7\n"
    assert [row[1] for row in rows] == [
        "'2026-02-30' is not a date for 'day'",
        "'1.5' is not an integer for 'n'",
    ]


def test_times_with_an_offset_become_utc(tmp_path: Path) -> None:
    times = [
        "2026-03-01T10:00:00+02:00",
        "2026-03-01 09:30:00.5+0130",
        "2026-03-01T08:00Z",
        "2026-03-01 08:00:00Z",
        "2026-03-01T08:00:00",
    ]
    source = written(tmp_path / "in.csv", "\n".join(["t", *times, "10 o'clock"]) + "\n")
    result = run(source, {"types": {"t": "datetime"}}, "out.parquet")
    assert result["rows_rejected"] == 1
    eight = datetime(2026, 3, 1, 8)
    found = pl.read_parquet(tmp_path / "out.parquet")["t"].to_list()
    assert [at.replace(microsecond=0) for at in found] == [eight] * 5


def test_columns_without_a_title_are_named_by_their_number(tmp_path: Path) -> None:
    text, _, _ = outcome(tmp_path, ",a,column_4,,\n1,2,3,,5\n", {"filter": {"column_1": 0}})
    assert text == "column_1,a,column_4,column_4_,column_5\n1,2,3,,5\n"


def test_text_that_is_a_number_stays_as_it_is_written(tmp_path: Path) -> None:
    text, _, _ = outcome(tmp_path, "zip,n\n00501, 1.50\n", {"filter": {"n": 1}})
    assert text == "zip,n\n00501, 1.50\n"


def test_duplicates_keep_the_first_in_the_order_of_the_file(tmp_path: Path) -> None:
    content = "a,b\n2,x\n1,y\n2,x\n2,z\n,\n,\n"
    text, result, _ = outcome(tmp_path, content, {"drop_duplicates": True})
    assert text == "a,b\n2,x\n1,y\n2,z\n,\n"
    assert result["rows_duplicate"] == 2
    text, _, _ = outcome(tmp_path, content, {"drop_duplicates": ["a"]})
    assert text == "a,b\n2,x\n1,y\n,\n"


def test_sort_is_stable_and_numbers_in_text_sort_as_numbers(tmp_path: Path) -> None:
    content = "n,t\n10,a\n9,b\n,c\n9.0,d\nx,e\n-1,f\n"
    text, _, _ = outcome(tmp_path, content, {"sort": "n"})
    assert [line.split(",")[1] for line in text.split()[1:]] == list("fbdaec")
    text, _, _ = outcome(tmp_path, content, {"sort": ["-n"]})
    assert [line.split(",")[1] for line in text.split()[1:]] == list("abdfec")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(st.integers(-5, 5), st.sampled_from("xyz")), max_size=300),
    run_bytes=st.integers(50, 3000),
)
def test_an_external_sort_orders_like_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: list[tuple[int, str]], run_bytes: int
) -> None:
    monkeypatch.setattr(ordering, "RUN_BYTES", run_bytes)
    monkeypatch.setattr(ordering, "PIECES_OF_RUN", 3)
    monkeypatch.setattr(ordering, "MAX_RUNS", 3)
    monkeypatch.setattr("materia.data.source.LEAST_BLOCK_BYTES", 1)
    lines = [f"{n},{t},{at}" for at, (n, t) in enumerate(rows)]
    steps = {"sort": ["t", "-n"], "num_chunks": 40}
    text, _, _ = outcome(tmp_path, "\n".join(["n,t,at", *lines]), steps)
    expected = sorted(enumerate(rows), key=lambda one: (one[1][1], -one[1][0], one[0]))
    assert text.split()[1:] == [lines[at] for at, _ in expected]
    text, _, _ = outcome(
        tmp_path, "\n".join(["n,t,at", *lines]), {"drop_duplicates": ["n", "t"], "num_chunks": 40}
    )
    firsts = {row: at for at, row in reversed(list(enumerate(rows)))}
    assert text.split()[1:] == [lines[at] for at in sorted(firsts.values())]


def test_parquet_gets_numbers_where_every_cell_is_one(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", "i,f,zip,t,none\n1,1.5,007,a,\n,2,8,b,\n")
    run(source, None, "out.parquet")
    frame = pl.read_parquet(tmp_path / "out.parquet")
    assert frame.dtypes == [pl.Int64, pl.Float64, pl.String, pl.String, pl.String]
    assert frame.rows() == [(1, 1.5, "007", "a", None), (None, 2.0, "8", "b", None)]


NINES = 9_007_199_254_740_993  # The first whole number without a float of its own.


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        ([1234567890123456789, 1234567890123456788], pl.Int64),
        ([-(2**63), 2**63 - 1], pl.Int64),
        ([1, 2**64 - 1], pl.UInt64),
        ([-1, 2**64 - 1], pl.String),
        ([2**64, 5], pl.String),
        ([NINES, 1.5], pl.String),
        ([1.5, NINES], pl.String),
        ([2**53 - 1, 1.5], pl.Float64),
        (["6.02e23", 1.5], pl.Float64),
    ],
)
def test_no_number_loses_a_digit_on_its_way_to_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[Any], dtype: type[pl.DataType]
) -> None:
    monkeypatch.setattr("materia.data.source.LEAST_BLOCK_BYTES", 1)
    content = "\n".join(["a", *map(str, cells)]) + "\n"
    source = written(tmp_path / "in.csv", content)
    for n_chunks in (1, 97):
        run(source, {"num_chunks": n_chunks}, "out.parquet")
        found = pl.read_parquet(tmp_path / "out.parquet")["a"]
        assert found.dtype == dtype
        kind = {pl.String: str, pl.Float64: float}.get(dtype, int)
        assert found.to_list() == [kind(cell) for cell in cells]


LONG = [NINES - 1, NINES, NINES + 1, 5, 2**64 - 1, 10**20 + 1]
LONG_FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({"==": NINES}, [NINES]),
    ({"==": float(NINES + 1)}, [NINES + 1]),
    ({">": NINES}, [NINES + 1, 2**64 - 1, 10**20 + 1]),
    ({"<=": NINES}, [NINES - 1, NINES, 5]),
    ({"!=": NINES, "<": 2**64 - 1}, [NINES - 1, NINES + 1, 5]),
    ({"in": [5, NINES, 10**20, 10**20 + 1, 10**40]}, [NINES, 5, 10**20 + 1]),
    ({">": 10**20}, [10**20 + 1]),
    ({"<": 10**400, ">": 1.5}, LONG),
    ({"<": -(10**400)}, []),
]


@pytest.mark.parametrize(("wanted", "expected"), LONG_FILTERS)
def test_filters_compare_whole_numbers_by_all_their_digits(
    tmp_path: Path, wanted: dict[str, Any], expected: list[int]
) -> None:
    source = written(tmp_path / "in.csv", "\n".join(["a,b", *(f"{n},x" for n in LONG)]) + "\n")
    result = run(source, {"filter": {"a": wanted}})
    assert result["rows_rejected"] == 0
    assert pl.read_csv(tmp_path / "out.csv", schema={"a": pl.String, "b": pl.String})[
        "a"
    ].to_list() == list(map(str, expected))
    short = [n for n in LONG if n < 2**64]
    frame = pl.DataFrame({"a": short}, schema={"a": pl.UInt64})
    frame.write_parquet(tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", {"filter": {"a": wanted}}, "out.parquet")
    found = pl.read_parquet(tmp_path / "out.parquet")["a"].to_list()
    assert found == [n for n in expected if n in short]


def test_a_filter_by_a_long_number_takes_other_numbers_as_before(tmp_path: Path) -> None:
    content = "a,b\n1e18,x\n 1000000000000000001 ,y\n2.5,z\nword,w\n,v\n"
    text, result, rows = outcome(tmp_path, content, {"filter": {"a": {">=": 10**18}}})
    assert text == "a,b\n1e18,x\n 1000000000000000001 ,y\n"
    assert (result["rows_filtered"], [row[0] for row in rows]) == (2, ["5"])


def test_a_declared_integer_keeps_its_digits_also_with_a_point(tmp_path: Path) -> None:
    text, _, _ = outcome(tmp_path, f"a\n{NINES}.0\n", {"types": {"a": "integer"}})
    assert text == f"a\n{NINES}\n"


def test_every_kind_of_file_comes_back_from_every_other(tmp_path: Path) -> None:
    content = "n,t\n1,a\n2,\u00e9\n"
    source = written(tmp_path / "a.csv", content)
    for at, ending in enumerate([".csv.gz", ".parquet", ".csv.gz", ".csv", ".parquet", ".csv"]):
        run(source, None, f"step{at}{ending}")
        source = tmp_path / f"step{at}{ending}"
    assert source.read_text(encoding="utf-8") == content
    assert gzip.decompress((tmp_path / "step0.csv.gz").read_bytes()).decode() == content


def test_a_file_without_rows_gives_a_file_with_a_header(tmp_path: Path) -> None:
    for ending in (".csv", ".csv.gz", ".parquet"):
        result = run(written(tmp_path / "in.csv", "a,b\n"), {"sort": "a"}, f"out{ending}")
        assert result["rows_written"] == result["rows_read"] == 0
    assert (tmp_path / "out.csv").read_text() == "a,b\n"
    assert pl.read_parquet(tmp_path / "out.parquet").columns == ["a", "b"]


def test_the_mark_of_a_file_is_taken_off_once(tmp_path: Path) -> None:
    text, _, _ = outcome(tmp_path, b"\xef\xbb\xbfa,b\r\n\xef\xbb\xbfx,2\r\n", {"filter": {"b": 1}})
    assert text.encode() == b"a,b\n\xef\xbb\xbfx,2\n"


BROKEN = [
    (b"", "is empty"),
    (b"\n\n", "no header"),
    (b"1,2\n3,4\n", "no header"),
    (b"a;b\n1;2\n", "separated"),
    (b'a,b\n1,"x\n2,3\n', "line 2 is never closed"),
    (b'a,"b\n1,x\n', "never closed"),
    (b",".join(b"c%d" % n for n in range(10**6)) + b"\n", "1000000 columns"),
    (b"a,a\n1,2\n", "more than one column"),
    (b"a,b\r1,2\r3,4\r", "carriage return"),
    (b'"a"x,b\n1,2\n', "text follows a closing quote"),
    (b"PK\x03\x04rest", "zip"),
    (gzip.compress(b"a,b\n1,2\n"), "gzip"),
    ("a,b\n".encode("utf-16"), "UTF-16"),
    (b"\xff\x00\n1\n", "UTF-8"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_a_file_that_is_no_table_is_a_clear_error(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "out.csv").write_text("old")
    with pytest.raises(DataError) as caught:
        run(written(tmp_path / "in.csv", content))
    assert message in str(caught.value)
    assert (tmp_path / "out.csv").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_damaged_and_exploding_archives_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gzip.compress(b"a,b\n" + os.urandom(30000).hex().encode())
    for content in (whole[:-9], whole[:5000] + b"\x00" * 9 + whole[5009:], b"a,b\n1,2\n"):
        with pytest.raises(DataError, match="damaged"):
            run(written(tmp_path / "in.csv.gz", content))
    monkeypatch.setattr("materia.data.source.EXPANSION_FREE_BYTES", 2**20)
    with pytest.raises(DataError, match="grows more than"):
        run(written(tmp_path / "in.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 10**7)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv.gz"]


def test_a_quote_that_swallows_too_much_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("materia.data.records.MAX_RECORD_BYTES", 5000)
    with pytest.raises(DataError, match="record in line 3 is longer"):
        outcome(tmp_path, 'a,b\n1,2\n3,"' + "x,y\n" * 5000)


WRONG = [
    ({"filtre": {}}, "transformations.filtre", "'filter'"),
    ({"filter": {"amout": 1}}, "transformations.filter.amout", "'amount'"),
    ({"filter": {"amount": {"=>": 1}}}, "transformations.filter.amount.=>", "'>='"),
    ({"filter": {"amount": "x"}}, "transformations.filter.amount", "=="),
    ({"filter": {"amount": {"in": [1, "a"]}}}, "transformations.filter.amount.in", "in"),
    ({"new_columns": {"x": "amout * 2"}}, "transformations.new_columns.x", "'amount'"),
    ({"new_columns": {"x": "__import__('os')"}}, "transformations.new_columns.x", "functions"),
    ({"new_columns": {"x": "amount > 2"}}, "transformations.new_columns.x", "filter"),
    ({"types": {"amount": "flaot"}}, "transformations.types.amount", "'float'"),
    ({"types": {"amont": "float"}}, "transformations.types.amont", "'amount'"),
    ({"select": ["amont"]}, "transformations.select", "'amount'"),
    ({"sort": ["-amont"]}, "transformations.sort", "'amount'"),
    ({"drop_duplicates": "amont"}, "transformations.drop_duplicates", "'amount'"),
    ({"rename": {"amount": "city"}}, "transformations.rename", "city"),
    ({"rename": {"amount": "a\nb"}}, "transformations.rename", "line break"),
    ({"rename": {"amount": " "}}, "transformations.rename", "name"),
    ({"new_columns": {"\0row": "1"}}, "transformations.new_columns", "'\\x00row'"),
    ({"new_columns": {"": "1"}}, "transformations.new_columns", "name"),
    ({"num_chunks": 0}, "transformations.num_chunks", "10"),
    ({"num_chunks": True}, "transformations.num_chunks", "10"),
]


@pytest.mark.parametrize(("steps", "path", "hint"), WRONG)
def test_a_wrong_declaration_names_its_place_and_the_fix(
    tmp_path: Path, steps: dict[str, Any], path: str, hint: str
) -> None:
    source = written(tmp_path / "in.csv", "amount,city\n1,Ulm\n")
    with pytest.raises(DefinitionError) as caught:
        run(source, steps)
    assert caught.value.path == path
    assert hint in str(caught.value)
    assert [one.name for one in tmp_path.iterdir()] == ["in.csv"]


def test_missing_input_and_unknown_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"gone\.csv"):
        run(tmp_path / "gone.csv")
    source = written(tmp_path / "in.csv", "a\nx\n")
    with pytest.raises(DataError, match=r"allowed: \.csv"):
        run(source, None, "out.xlsx")
    with pytest.raises(DataError, match="input and output at once"):
        run(source, None, "in.csv")
    with pytest.raises(DataError, match="300 bytes; at most 200"):
        run(source, None, "n" * 296 + ".csv")


class Stopped(Exception):
    pass


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_a_stop_at_any_point_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, ending: str
) -> None:
    source = written(tmp_path / "in.csv", mixed_table(400))
    output = written(tmp_path / f"out{ending}", "old")
    steps = {"sort": "amount", "drop_duplicates": True}
    n_calls = 0

    def stop_at(last: int) -> None:
        nonlocal n_calls
        n_calls = 0

        def progress(done: float, total: float | None, message: str) -> None:
            nonlocal n_calls
            n_calls += 1
            if n_calls == last:
                raise Stopped

        process(source, output, steps, progress=progress)

    for last in (1, 2, 7, 12):
        with pytest.raises(Stopped):
            stop_at(last)
        assert output.read_text() == "old"
        assert len(list(tmp_path.iterdir())) == 2
    stop_at(0)
    assert n_calls >= 12
    assert output.read_bytes() != b"old"


def test_progress_ends_at_the_whole(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", mixed_table(2000))
    told: list[tuple[float, float | None, str]] = []
    process(source, tmp_path / "out.csv", {}, progress=lambda *one: told.append(one))
    reading = [done for done, _, message in told if message == "reading"]
    assert reading == sorted(reading)
    assert len(set(reading)) > 5
    assert told[-1][0] == told[-1][1] == source.stat().st_size


def test_each_phase_of_an_ordered_output_tells_its_own_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ordering, "RUN_BYTES", 5000)
    source = written(tmp_path / "in.csv", mixed_table(2000))
    told: list[tuple[float, float | None, str]] = []
    steps = {"drop_duplicates": ["city", "amount"], "sort": "amount"}
    result = process(source, tmp_path / "out.csv", steps, progress=lambda *one: told.append(one))
    phases = list(dict.fromkeys(message for _, _, message in told))
    assert phases == ["reading", "finding duplicates", "sorting", "writing", "done"]
    assert [message for _, _, message in told] == sorted(
        (message for _, _, message in told), key=phases.index
    )
    n_kept = result["rows_written"] + result["rows_duplicate"]
    for phase, total in (("finding duplicates", n_kept), ("sorting", result["rows_written"])):
        amounts = [done for done, _, message in told if message == phase]
        assert amounts == sorted(amounts)
        assert len(set(amounts)) > 2
        assert [told for told in told if told[2] == phase][-1] == (total, total, phase)


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    with pytest.raises(DataError, match="No space left"):
        run(written(tmp_path / "in.csv", "a\nx\n"))
    assert [one.name for one in tmp_path.iterdir()] == ["in.csv"]


def test_blocks_are_bounded_whatever_the_number_of_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("materia.data.source.BLOCK_BYTES", 10_000)
    source = written(tmp_path / "in.csv", mixed_table(2000))
    told: list[float] = []
    steps = {"num_chunks": 1}
    process(source, tmp_path / "out.csv", steps, progress=lambda done, *_: told.append(done))
    assert len(set(told)) >= source.stat().st_size // 10_000
