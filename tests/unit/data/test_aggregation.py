"""Summaries agree with plain arithmetic, and one bad source does not cost the others."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_tables import silent, written

from materia.data import aggregate
from materia.errors import DataError, DefinitionError

NORTH = "city,amount,note\nUlm,1,a\nBonn,2,b\nUlm,4.5,\n"
SOUTH = "city,amount,size\nUlm,7,1\nJena,,2\n"


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    return [written(tmp_path / "north.csv", NORTH), written(tmp_path / "south.csv", SOUTH)]


def test_each_source_and_all_together_are_summarised(sources: list[Path]) -> None:
    result = aggregate(sources, None, progress=silent)
    assert (result["status"], result["total_rows"], result["num_sources"]) == ("success", 5, 2)
    first = result["summaries"][0]
    assert first["source"] == str(sources[0])
    assert (first["rows"], first["columns"]) == (3, ["city", "amount", "note"])
    amount = first["summary"]["amount"]
    assert amount["type"] == "number"
    assert (amount["count"], amount["missing"], amount["distinct"]) == (3, 0, 3)
    assert (amount["sum"], amount["min"], amount["max"]) == (7.5, 1.0, 4.5)
    assert amount["std"] == pytest.approx(statistics.stdev([1, 2, 4.5]))
    assert (amount["q25"], amount["median"], amount["q75"]) == (1.5, 2.0, 3.25)
    assert first["summary"]["note"] == {
        "type": "text",
        "count": 2,
        "missing": 1,
        "min": "a",
        "max": "b",
        "distinct": 2,
    }
    assert result["overall"]["amount"]["count"] == 4
    assert result["overall"]["amount"]["missing"] == 1
    assert result["output_file"] is None
    json.dumps(result, allow_nan=False)


def test_differences_between_the_sources_are_named(sources: list[Path], tmp_path: Path) -> None:
    third = written(tmp_path / "third.csv", "city,amount\nUlm,lots\n")
    differences = aggregate([*sources, third], None, progress=silent)["schema_differences"]
    by_column = {one["column"]: one for one in differences}
    assert set(by_column) == {"amount", "note", "size"}
    assert by_column["note"]["missing_in"] == [str(sources[1]), str(third)]
    assert by_column["amount"]["types"][str(third)] == "text"
    assert by_column["amount"]["types"][str(sources[0])] == "number"


def test_groups_go_over_all_sources_and_into_the_output(
    sources: list[Path], tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    result = aggregate(
        sources,
        output,
        group_by=["city"],
        aggregations={"amount": ["sum", "count", "avg"], "size": "max"},
        progress=silent,
    )
    assert result["groups"] == [
        group("Bonn", 1, 2.0, 1, 2.0, None),
        group("Jena", 1, 0.0, 0, None, 2.0),
        group("Ulm", 3, 12.5, 3, 12.5 / 3, 1.0),
    ]
    assert pl.read_csv(output)["amount_sum"].to_list() == [2.0, 0.0, 12.5]
    assert result["output_file"] == str(output)


def group(city: str, rows: int, *amounts: float | None) -> dict[str, object]:
    names = ("amount_sum", "amount_count", "amount_mean", "size_max")
    return {"city": city, "rows": rows, **dict(zip(names, amounts, strict=True))}


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_without_groups_the_output_has_a_row_per_source_and_column(
    sources: list[Path], tmp_path: Path, ending: str
) -> None:
    output = tmp_path / f"out{ending}"
    aggregate(sources, output, progress=silent)
    frame = pl.read_parquet(output) if ending == ".parquet" else pl.read_csv(output)
    assert frame.height == 3 + 3 + 4
    amounts = frame.filter(pl.col("column") == "amount")
    assert amounts["source"].to_list() == [*map(str, sources), "all sources"]
    assert amounts["sum"].to_list() == [7.5, 7.0, 14.5]


def test_json_output_is_the_result(sources: list[Path], tmp_path: Path) -> None:
    result = aggregate(sources, tmp_path / "out.json", progress=silent)
    stored = json.loads((tmp_path / "out.json").read_text())
    assert stored["summaries"] == result["summaries"]


def test_a_source_that_cannot_be_read_is_reported_and_the_others_kept(
    sources: list[Path], tmp_path: Path
) -> None:
    broken = written(tmp_path / "broken.csv", 'a,b\n1,"x\n')
    result = aggregate([broken, tmp_path / "gone.csv", *sources], None, progress=silent)
    assert [one["source"] for one in result["failed"]] == [
        str(broken),
        str(tmp_path / "gone.csv"),
    ]
    assert "never closed" in result["failed"][0]["error"]
    assert (result["num_sources"], result["total_rows"]) == (4, 5)
    with pytest.raises(DataError, match="no source can be read"):
        aggregate([broken], None, progress=silent)


def test_bad_rows_are_counted(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", b"a,b\n1,2\n3\n4,\xff\n5,6\n")
    result = aggregate([source], None, progress=silent)
    assert (result["total_rows"], result["rows_rejected"]) == (2, 2)
    assert result["overall"]["a"]["sum"] == 6


def test_a_column_that_turns_out_to_be_text_late_keeps_the_text_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("materia.data.source.LEAST_BLOCK_BYTES", 1)
    lines = [f"{n:03},{n}" for n in range(200)]
    source = written(tmp_path / "in.csv", "\n".join(["code,n", *lines, "x9,7", " ,8"]) + "\n")
    result = aggregate(
        [source], None, group_by=["code"], aggregations={"n": "sum"}, progress=silent
    )
    assert [one["code"] for one in result["groups"]] == [" ", *(line[:3] for line in lines), "x9"]
    assert result["groups"][-1]["n_sum"] == 7
    whole = aggregate([source], None, progress=silent)
    assert whole["overall"]["code"]["type"] == "text"
    assert whole["overall"]["code"]["min"] == " "
    assert whole["overall"]["n"]["sum"] == sum(range(200)) + 15


LONG = 9_007_199_254_740_993  # The first whole number without a float of its own.


@pytest.mark.parametrize(
    "keys",
    [
        ["01234", "1234"],
        [str(LONG), str(LONG - 1)],
        ["1.5", "1.5 "],
        ["0.1", "0.10000000000000001"],
    ],
)
def test_groups_of_different_keys_stay_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: list[str]
) -> None:
    monkeypatch.setattr("materia.data.source.LEAST_BLOCK_BYTES", 1)
    for at, order in enumerate((keys, keys[::-1])):
        lines = [f"{key},{n}" for n, key in enumerate(order)]
        whole = written(tmp_path / f"{at}.csv", "\n".join(["k,n", *lines]) + "\n")
        halves = [
            written(tmp_path / f"{at}-{n}.csv", f"k,n\n{line}\n") for n, line in enumerate(lines)
        ]
        for sources in ([whole], halves):
            result = aggregate(sources, None, group_by="k", progress=silent)
            assert [one["k"] for one in result["groups"]] == sorted(keys)


def test_short_numbers_group_as_numbers(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", "k\n10\n9\n9.0\n\n-1\n")
    result = aggregate([source], None, group_by="k", progress=silent)
    assert [(one["k"], one["rows"]) for one in result["groups"]] == [(-1, 1), (9, 2), (10, 1)]
    other = written(tmp_path / "other.csv", "k\nx9\n9\n")
    result = aggregate([source, other], None, group_by="k", progress=silent)
    assert [(one["k"], one["rows"]) for one in result["groups"]] == [
        ("-1", 1),
        ("10", 1),
        ("9", 2),
        ("9.0", 1),
        ("x9", 1),
    ]


@pytest.mark.parametrize(
    "values",
    [
        [LONG, LONG - 1, LONG, 7],
        [3, 5, LONG, LONG - 1],
        [2**63 - 1, 2**63 - 1, -(2**63)],
        [2**64 - 1, 2**64 - 2, 0],
    ],
)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_whole_numbers_are_summarised_to_the_last_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[int], ending: str
) -> None:
    monkeypatch.setattr("materia.data.source.LEAST_BLOCK_BYTES", 1)
    source = written(
        tmp_path / "in.csv", "\n".join(["n,g", *(f"{n},x" for n in values), ",x"]) + "\n"
    )
    small = written(tmp_path / "small.csv", "n,g\n4,x\n")
    output = tmp_path / f"out{ending}"
    for sources, every in ([[source], values], [[small, source], [*values, 4]]):
        result = aggregate(sources, output, progress=silent)
        grouped = aggregate(sources, None, group_by="g", progress=silent)["groups"][0]
        whole = result["overall"]["n"]
        for found in (whole, {key: grouped[f"n_{key}"] for key in whole if key != "type"}):
            assert (found["min"], found["max"]) == (min(every), max(every))
            assert (found["sum"], found["distinct"]) == (sum(every), len(set(every)))
            assert (found["count"], found["missing"]) == (len(every), 1)
            assert found["mean"] == pytest.approx(statistics.mean(every))
        assert whole["type"] == "number"
        text = {"sum": pl.String}
        read = (
            pl.read_parquet(output)
            if ending == ".parquet"
            else pl.read_csv(output, schema_overrides=text)
        )
        assert read.filter(pl.col("column") == "n")["sum"].to_list()[-1] == str(sum(every))


def test_whole_numbers_too_long_for_64_bits_and_codes_are_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("materia.data.source.LEAST_BLOCK_BYTES", 1)
    lines = [f"{2**64 + n},{n},{n}.5" for n in range(50)] + ["7,007,1e300", f"8,8,{LONG}"]
    source = written(tmp_path / "in.csv", "\n".join(["long,code,measured", *lines]) + "\n")
    overall = aggregate([source], None, progress=silent)["overall"]
    assert {name: one["type"] for name, one in overall.items()} == {
        "long": "text",
        "code": "text",
        "measured": "number",
    }
    assert (overall["long"]["distinct"], overall["code"]["distinct"]) == (52, 51)
    assert overall["measured"]["max"] == 1e300


def test_functions_that_fit_no_column_are_refused(sources: list[Path], tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with pytest.raises(DefinitionError, match=r"no mean of text, which .city. holds.*distinct"):
        aggregate(sources, output, aggregations={"city": ["mean"]}, progress=silent)
    words = written(tmp_path / "words.csv", "a,b\nx,y\n")
    with pytest.raises(DefinitionError, match="no column holds numbers"):
        aggregate([words], output, aggregations=["mean"], progress=silent)
    assert not output.exists()
    mixed = aggregate(
        [*sources, written(tmp_path / "third.csv", "city,amount\nUlm,lots\n")],
        None,
        aggregations={"amount": ["sum"]},
        progress=silent,
    )
    assert mixed["summaries"][0]["summary"]["amount"]["sum"] == 7.5


def test_rows_of_a_source_without_the_wanted_column_are_missing_there(sources: list[Path]) -> None:
    result = aggregate(sources, None, aggregations={"size": ["missing", "sum"]}, progress=silent)
    assert result["overall"] == {"size": {"type": "number", "missing": 3, "sum": 3.0}}
    assert [one["column"] for one in result["schema_differences"]] == ["note", "size"]


def test_a_cell_of_blanks_is_no_value_of_a_column_of_numbers(tmp_path: Path) -> None:
    source = written(tmp_path / "in.csv", "a,b\n1,x\n  ,y\nnan,z\n 3 ,z\n")
    found = aggregate([source], None, progress=silent)["overall"]["a"]
    assert (found["type"], found["count"], found["missing"], found["sum"]) == ("number", 2, 2, 4.0)


def test_wrong_names_are_explained(sources: list[Path]) -> None:
    with pytest.raises(DefinitionError, match="did you mean 'mean'"):
        aggregate(sources, None, aggregations=["maen"], progress=silent)
    with pytest.raises(DefinitionError, match="did you mean 'amount'"):
        aggregate(sources, None, aggregations={"amont": ["sum"]}, progress=silent)
    with pytest.raises(DefinitionError, match=r"'south\.csv' has no column 'note'"):
        aggregate(sources, None, group_by="note", progress=silent)
    with pytest.raises(DefinitionError, match="'city' stands in it twice"):
        aggregate(sources, None, group_by=["city", "city"], progress=silent)
    with pytest.raises(DefinitionError, match="empty"):
        aggregate([], None, progress=silent)


def test_a_source_is_never_overwritten(sources: list[Path]) -> None:
    for source in sources:
        with pytest.raises(DataError, match="input and output at once"):
            aggregate(sources, source, progress=silent)
    assert [source.read_text() for source in sources] == [NORTH, SOUTH]


def test_a_stop_leaves_the_old_output_and_nothing_else(sources: list[Path], tmp_path: Path) -> None:
    output = written(tmp_path / "out.csv", "old")

    def stop(done: float, total: float | None, message: str) -> None:
        if message == "writing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        aggregate(sources, output, progress=stop)
    assert output.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 3


numbers = st.none() | st.floats(-1e6, 1e6, allow_subnormal=False)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.tuples(st.sampled_from("ab"), numbers), min_size=1, max_size=60))
def test_groups_agree_with_plain_arithmetic(
    tmp_path: Path, rows: list[tuple[str, float | None]]
) -> None:
    lines = ["g,x", *(f"{name},{'' if x is None else repr(x)}" for name, x in rows)]
    cut = len(lines) // 2
    halves = [lines[: cut + 1], [lines[0], *lines[cut + 1 :]]]
    paths = [
        written(tmp_path / f"{at}.csv", "\n".join(half) + "\n") for at, half in enumerate(halves)
    ]
    result = aggregate(paths, None, group_by=["g"], progress=silent)
    assert [one["g"] for one in result["groups"]] == sorted({name for name, _ in rows})
    for one in result["groups"]:
        values = [x for name, x in rows if name == one["g"] and x is not None]
        assert one["rows"] == sum(name == one["g"] for name, _ in rows)
        if not any(x is not None for _, x in rows):
            continue
        assert one["x_count"] == len(values)
        assert one["x_distinct"] == len(set(values))
        assert one["x_sum"] == pytest.approx(sum(values), rel=1e-9, abs=1e-6)
        if values:
            assert one["x_median"] == pytest.approx(statistics.median(values), abs=1e-6)
            assert (one["x_min"], one["x_max"]) == (min(values), max(values))
        if len(values) > 1:
            assert one["x_std"] == pytest.approx(statistics.stdev(values), rel=1e-6, abs=1e-6)
