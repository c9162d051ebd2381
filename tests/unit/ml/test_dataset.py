"""Cells become numbers by rules that can be overruled, and faults are named by line and column."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import ml_tables
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materia.errors import DataError, NotFoundError
from materia.ml.config import TrainingConfig
from materia.ml.dataset import Dataset, load_dataset, make_dataset
from materia.ml.reading import dataset_files, read_frame
from materia.ml.schema import Schema


def load(path: Path, **keys: Any) -> Dataset:
    return load_dataset(path, TrainingConfig(**keys))


def put(folder: Path, text: str | bytes, name: str = "rows.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows(*columns: str, n: int = 30) -> str:
    """Return n lines; a column is a format of i."""
    return "".join(",".join(c.format(i=i, m=i % 3) for c in columns) + "\n" for i in range(n))


@pytest.mark.parametrize(
    ("name", "task", "d"),
    [
        ("diabetes", "regression", 10),
        ("iris", "classification", 4),
        ("breast_cancer", "classification", 30),
    ],
)
def test_real_tables_are_read_bit_for_bit_and_their_task_inferred(
    tmp_path: Path, name: str, task: str, d: int
) -> None:
    frame = ml_tables.bundled(name)
    dataset = load(ml_tables.write(tmp_path, name))
    assert dataset.schema.task == task
    assert dataset.schema.target == "target"
    assert dataset.X.shape == (len(frame), d)
    assert np.array_equal(dataset.X, frame.drop("target").to_numpy())
    assert np.array_equal(dataset.y, frame["target"].to_numpy())
    assert dataset.remarks == ()


def test_parquet_and_csv_give_the_same_dataset(tmp_path: Path) -> None:
    csv = ml_tables.write(tmp_path, "diabetes")
    parquet = tmp_path / "d.parquet"
    ml_tables.bundled("diabetes").write_parquet(parquet)
    assert np.array_equal(load(csv).X, load(parquet).X)
    assert load(csv).schema == load(parquet).schema


def test_categories_missing_values_and_the_schema_as_plain_data(tmp_path: Path) -> None:
    text = "gas,temp,y\n" + " Ar ,1.5,1.25\nN2,NA,2\n,3,3\nAr, 4 ,4\n" * 6
    dataset = load(put(tmp_path, text))
    assert dataset.schema.to_data() == {
        "features": [
            {"name": "gas", "type": "category", "categories": ["Ar", "N2"]},
            {"name": "temp", "type": "number"},
        ],
        "target": "y",
        "task": "regression",
    }
    nan = float("nan")
    expected = [[0, 1.5], [1, nan], [nan, 3], [0, 4]]
    assert np.array_equal(dataset.X[:4], expected, equal_nan=True)
    assert Schema.from_data(dataset.schema.to_data()) == dataset.schema


def test_what_is_inferred_can_be_overruled(tmp_path: Path) -> None:
    path = put(tmp_path, "a,zip,b,y\n" + rows("{i}", "{m}", "x{m}", "{m}"))
    assert load(path).schema.task == "classification"
    assert load(path, task="regression").schema.task == "regression"
    chosen = load(path, target="a", types={"zip": "category"}, exclude=["y"])
    assert chosen.schema.target == "a"
    assert chosen.schema.features[0].levels == ("0", "1", "2")
    assert chosen.schema.names == ("zip", "b")
    assert load(path, features=["b", "a"]).schema.names == ("b", "a")


def test_labels_keep_their_type(tmp_path: Path) -> None:
    text = put(tmp_path, "a,y\n" + rows("{i}", "c{m}"))
    assert load(text).schema.classes == ("c0", "c1", "c2")
    numbers = put(tmp_path, "a,y\n" + rows("{i}", "{m}"), "n.csv")
    assert load(numbers).schema.classes == (0, 1, 2)
    parquet = tmp_path / "b.parquet"
    pl.DataFrame({"a": [1.0, 2.0] * 9, "y": [True, False] * 9}).write_parquet(parquet)
    assert load(parquet).schema.classes == (False, True)


def test_rows_without_a_target_and_useless_columns_are_left_out_and_said_so(tmp_path: Path) -> None:
    text = "id,empty,a,y\n" + rows("sample {i}", "", "{i}", "{i}.5") + "z,,1,\n"
    dataset = load(put(tmp_path, text))
    assert dataset.schema.names == ("a",)
    assert len(dataset.y) == 30
    said = " | ".join(dataset.remarks)
    for words in ["1 rows without a value of 'y'", "'id' is left out", "'empty' is left out"]:
        assert words in said


def test_rows_without_a_target_are_counted_where_a_cell_is_named(tmp_path: Path) -> None:
    beginning = "a,y\n1,\n" + rows("{i}", "{i}.5") + "3,\n"
    for cell in ("abc", "1e400"):
        with pytest.raises(DataError, match=r"'a' holds .* in row 33,"):
            load(put(tmp_path, f"{beginning}{cell},1\n"))
    with pytest.raises(DataError, match="'y' holds 'abc' in row 33,"):
        load(put(tmp_path, f"{beginning}7,abc\n"))


def test_parts_are_read_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for i in range(12):
        put(tmp_path, f"a,y\n{i},{i}.5\n{i},{i}.25\n", f"d_part_{i}.csv")
    by_stem = load(tmp_path / "d")
    assert by_stem.X[:, 0].tolist() == [i for i in range(12) for _ in range(2)]
    assert by_stem.part.tolist() == [i for i in range(12) for _ in range(2)]
    assert np.array_equal(load(tmp_path / "d.csv").X, by_stem.X)
    assert np.array_equal(load(tmp_path).X, by_stem.X)


def test_columns_of_parts_may_change_places_but_not_names(tmp_path: Path) -> None:
    put(tmp_path, "a,b,y\n1,2,3.5\n", "d_part_1.csv")
    put(tmp_path, "y,a,b\n6.5,4,5\n", "d_part_2.csv")
    assert load(tmp_path / "d").X.tolist() == [[1, 2], [4, 5]]
    put(tmp_path, "a,c,y\n1,2,3\n", "d_part_3.csv")
    with pytest.raises(DataError, match=r"d_part_3.*'b' is missing.*'c' is new"):
        load(tmp_path / "d")


def test_a_missing_part_is_named(tmp_path: Path) -> None:
    for i in (0, 1, 3):
        put(tmp_path, "a,y\n1,2\n", f"d_part_{i}.csv")
    with pytest.raises(DataError, match="part 2 of 'd' is missing"):
        dataset_files(tmp_path / "d")


def test_a_part_that_links_out_of_its_folder_is_not_read(tmp_path: Path) -> None:
    secret = put(tmp_path, "a,y\n1,2\n", "secret.csv")
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "p.csv").symlink_to(secret)
    with pytest.raises(DataError, match="link out of its folder"):
        dataset_files(folder)


@pytest.mark.parametrize(
    ("text", "keys", "words"),
    [
        ("", {}, ["empty"]),
        ("a,y\n", {}, ["no rows"]),
        ("a,y\n\n\n", {}, ["no rows"]),
        ("a,y\n" + rows("{i}", "{i}"), {"target": "z"}, ["target", "no column 'z'"]),
        ("aim,y\n" + rows("{i}", "{i}"), {"features": ["aims"]}, ["did you mean 'aim'"]),
        ("a,y\n" + rows("{i}", "7"), {}, ["'y' is 7 in every row"]),
        ("a,y\n" + rows("{i}", "yes"), {}, ["one class only, 'yes'"]),
        ("a,y\n" + rows("{i}", "s{i}"), {}, ["30 different values", "too many"]),
        ("a,y\n" + rows("{i}", "c{m}"), {"task": "regression"}, ["not numeric", "'c0'"]),
        ("a,y\n" + rows("{i}", "{i}.5"), {"task": "classification"}, ["too many", "regression"]),
        ("a,y\n" + rows("{i}", ""), {}, ["no value in any row"]),
        ("a,y\n" + rows("{i}", "{i}") + "abc,1\n", {}, ["column 'a'", "'abc' in row 31"]),
        ("a,y\n" + rows("{i}", "{i}") + "inf,1\n", {}, ["column 'a'", "too large"]),
        ("a,y\n" + rows("{i}", "{i}") + "1e400,1\n", {}, ["column 'a'", "too large"]),
        ("y\n" + rows("{i}"), {}, ["no feature"]),
        ("a,y\n1,2\n3,4,5\n6,7\n", {}, ["line 3 has 3 cells", "header has 2"]),
        ("a,y\n1,2\n3\n6,7\n", {}, ["line 3 has 1 cells"]),
        ('a,y\n"1",2\n3\n6,7\n', {}, ["line 3 has 1 cells"]),
        ('a,y\n"1,2\n3,4\n', {}, ["line"]),
        ("a;y\n1;2\n", {}, ["one column only", "';'", "delimiter"]),
        ("a,a,y\n1,2,3\n", {}, ["more than one column 'a'"]),
        (",a,y\n0,2,3\n", {}, ["column 1 has no name", "index=False"]),
        ("1,2\n3,4\n", {}, ["no header", "only numbers"]),
        (b"a,y\n1,2\n\xff\xfe,3\n", {}, ["utf-8"]),
        (",".join(f"c{i}" for i in range(20_000)) + "\n", {}, ["more than 10000 columns"]),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_in_words(
    tmp_path: Path, text: str | bytes, keys: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(DataError) as caught:
        load(put(tmp_path, text), **keys)
    for word in words:
        assert word.lower() in str(caught.value).lower()


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no file 'd\.csv'"):
        load(tmp_path / "d.csv")


def test_other_files_are_no_datasets(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no CSV or Parquet"):
        load(put(tmp_path, "a,y\n1,2\n", "d.txt"))
    empty = tmp_path / "none"
    empty.mkdir()
    with pytest.raises(DataError, match="holds no CSV or Parquet"):
        load(empty)
    with pytest.raises(DataError, match=r"'d\.parquet' cannot be read"):
        load(put(tmp_path, b"PAR1 no", "d.parquet"))


def test_a_byte_order_mark_quotes_and_line_ends_do_no_harm(tmp_path: Path) -> None:
    text = 'a,"b, c",y\r\n1,"u, v",3\r\n\r\n2,"w\nx",4\r\n'
    frame = read_frame(put(tmp_path, codecs.BOM_UTF8 + text.encode()))
    assert frame.columns == ["a", "b, c", "y"]
    assert frame["b, c"].to_list() == ["u, v", "w\nx"]


@given(
    widths=st.lists(st.integers(0, 4), min_size=1, max_size=8),
    last=st.sampled_from(["", "\n"]),
)
def test_the_first_line_with_another_number_of_cells_is_named(
    tmp_path_factory: pytest.TempPathFactory, widths: list[int], last: str
) -> None:
    lines = [",".join(["7"] * width) for width in widths]
    path = put(tmp_path_factory.getbasetemp(), "a,b\n" + "\n".join(lines) + last, "ragged.csv")
    ragged = [i + 2 for i, width in enumerate(widths) if width not in (0, 2)]
    if ragged:
        with pytest.raises(DataError, match=f"line {ragged[0]} has"):
            read_frame(path)
    else:
        assert len(read_frame(path)) == widths.count(2)


def test_lines_are_counted_across_blocks(tmp_path: Path) -> None:
    line = "1" * 99 + ",2\n"
    n = 9 * 2**20 // len(line)
    path = put(tmp_path, "a,b\n" + line * n + "3\n")
    with pytest.raises(DataError, match=f"line {n + 2} has 1 cells"):
        read_frame(path)


def test_a_frame_of_other_types_is_encoded_too() -> None:
    frame = pl.DataFrame({"n": [1, 2, 3] * 6, "b": [True, False, None] * 6, "y": [0.5, 1.5, 2] * 6})
    dataset = make_dataset(frame, TrainingConfig())
    assert dataset.schema.features[1].levels == ("false", "true")
    assert np.array_equal(dataset.X[:3], [[1, 1], [2, 0], [3, float("nan")]], equal_nan=True)


def test_a_date_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    frame = pl.DataFrame({"a": range(30), "y": [i / 2 for i in range(30)]})
    frame.with_columns(day=pl.lit("2024-01-01").str.to_date()).write_parquet(path)
    dataset = load(path, target="y")
    assert dataset.schema.names == ("a",)
    assert "'day' is left out" in dataset.remarks[0]
