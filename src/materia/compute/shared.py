"""An object that many processes read: written to a file once, its arrays mapped into memory.

The file has no name, so that nothing is left of it however its processes end.
"""

from __future__ import annotations

import mmap
import os
import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

import numpy as np

from materia.errors import DataError

ALIGNMENT = 64
"""Bytes; what vector instructions like best."""

Spans: TypeAlias = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the object lies.

    Attributes:
        fd: Descriptor of the file.
        spans: Begin and end in bytes: of the pickle, then of every array in it.
    """

    fd: int
    spans: Spans


@contextmanager
def shared_object(value: Any) -> Iterator[Place]:
    """Keep an object where other processes can read it, as long as the context lasts.

    Raises:
        DataError: It cannot be pickled, or there is no room for it.
    """
    with tempfile.TemporaryFile() as file:
        try:
            place = Place(file.fileno(), _write(file, value))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise DataError(f"the shared data cannot be sent to other processes: {error}") from None
        except OSError as error:
            # Else the end of the context would try once more to write what does not fit.
            with suppress(OSError):
                file.close()
            if error.errno is None:
                raise  # not the system's, but a signal's exception
            raise DataError(
                f"cannot keep the shared data in '{tempfile.gettempdir()}': {error.strerror}",
                "make room, or name another folder in the environment variable TMPDIR",
            ) from None
        yield place


def read(place: Place) -> Any:
    """Return the object in another process; its arrays are read-only and take no memory there."""
    mapping = mmap.mmap(place.fd, 0, access=mmap.ACCESS_READ)
    os.close(place.fd)
    return unpack(memoryview(mapping), place.spans)


def unpack(content: memoryview, spans: Spans) -> Any:
    """Return the object of a file's content, which its arrays go on using."""
    body, *arrays = [content[start:end] for start, end in spans]
    return pickle.loads(body, buffers=arrays)  # noqa: S301 - written by the parent process


def _write(file: IO[bytes], value: Any) -> Spans:
    arrays: list[pickle.PickleBuffer] = []
    _Pickler(file, protocol=5, buffer_callback=arrays.append).dump(value)
    spans = [(0, file.tell())]
    for array in arrays:
        start = -(-file.tell() // ALIGNMENT) * ALIGNMENT
        file.seek(start)
        with array.raw() as content:
            file.write(content)
        spans.append((start, file.tell()))
    # A last array without elements may begin behind the end.
    file.truncate(spans[-1][1])
    file.flush()
    return tuple(spans)


class _Pickler(pickle.Pickler):
    """Keeps every array of plain numbers out of the pickle, strided and mapped ones included."""

    def reducer_override(self, value: Any) -> Any:
        is_array = type(value) in (np.ndarray, np.memmap)
        if not is_array or value.dtype.hasobject:
            return NotImplemented
        plain = np.asarray(value)
        if not (plain.flags.c_contiguous or plain.flags.f_contiguous):
            plain = np.ascontiguousarray(plain)
        if plain.dtype.kind in "mM":
            # NumPy gives no buffer of times.
            return _with_dtype, (plain.view(np.int64), plain.dtype)
        return plain.__reduce_ex__(5)


def _with_dtype(array: Any, dtype: Any) -> Any:
    return array.view(dtype)
