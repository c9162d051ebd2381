"""An object in a file without a name: the same on the other side, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materia.compute.shared import ALIGNMENT, shared_object
from materia.compute.shared import read as read_and_close


def there_and_back(value: Any) -> Any:
    with shared_object(value) as place:
        return read_and_close(replace(place, fd=os.dup(place.fd)))


DTYPES = ["f8", "i4", "u1", "?", "c16", "M8[s]", "U3", "S5", "V7", [("a", "i4"), ("b", "f8")]]


@st.composite
def any_array(draw: st.DrawFn) -> Any:
    """Arrays as they come out of slicing: contiguous, turned, with strides, without elements."""
    shape = draw(st.lists(st.integers(0, 6), max_size=3))
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = int(np.prod(shape))
    array = np.frombuffer(rng.bytes(dtype.itemsize * size), dtype, size).reshape(shape)
    view = draw(st.sampled_from(["as it is", "transposed", "reversed", "every other"]))
    if view == "transposed":
        return array.T
    if array.ndim and view == "reversed":
        return array[::-1]
    return array[..., ::2] if array.ndim and view == "every other" else array


@given(st.lists(any_array(), max_size=5))
def test_every_array_arrives_as_it_was_and_read_only(sent: list[Any]) -> None:
    received = there_and_back({"arrays": sent, "n": len(sent)})
    assert received["n"] == len(sent)
    for before, after in zip(sent, received["arrays"], strict=True):
        assert after.dtype == before.dtype and after.shape == before.shape
        assert after.tobytes() == before.tobytes()
        assert not after.flags.writeable


def test_large_arrays_of_any_array_stay_out_of_the_pickle(tmp_path: Path) -> None:
    big = np.arange(100_000.0).reshape(100, 1000)
    np.save(tmp_path / "big.npy", big)
    mapped = np.load(tmp_path / "big.npy", mmap_mode="r")
    sent = [big, big.T, big[:, ::2], mapped, mapped[5:50]]
    with shared_object(sent) as place:
        (start, end), *spans = place.spans
        assert (start, len(spans)) == (0, 5)
        assert end < 2000
        assert all(begin % ALIGNMENT == 0 for begin, _ in spans)
    for before, after in zip(sent, there_and_back(sent), strict=True):
        assert np.array_equal(before, after)


def test_objects_and_text_arrive_too() -> None:
    sent = {"names": ["a", "ü"], "objects": np.array([None, "x", 3], dtype=object), "none": None}
    received = there_and_back(sent)
    assert received["names"] == sent["names"] and received["none"] is None
    assert received["objects"].tolist() == [None, "x", 3]


def test_no_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with shared_object(np.ones(1000)):
        assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import resource, sys, numpy as np
from materia.compute import map_items
from materia.errors import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    map_items(max, [1], shared=np.ones(100_000), n_processes=1, progress=print)
except DataError as error:
    sys.exit(str(error))
"""


def test_a_disk_without_room_is_named(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FULL_DISK],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ran.stderr.startswith(f"cannot keep the shared data in '{tmp_path}': File too large")
    assert "TMPDIR" in ran.stderr
    assert list(tmp_path.iterdir()) == []
