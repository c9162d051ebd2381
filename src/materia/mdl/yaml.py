"""Read YAML or JSON text into plain data that remembers its lines; nothing in it can run.

The events of PyYAML's parser are composed here and not by PyYAML, because its own composer knows no
limits, keeps the last of two equal keys silently, takes ``1e-3`` for text and ``no`` for false.
Plain scalars are read after the core schema of YAML 1.2: null, true, false, whole numbers, numbers;
everything else is text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from materia.mdl import json_text
from materia.mdl.finding import Findings
from materia.mdl.places import Path, Place
from materia.mdl.plain import LARGEST_INTEGER, Budget, plain, scalar, text

MAX_BYTES = 1_000_000
"""Size of a definition as text."""

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)|NaN|[-+]?Infinity")
_TEXT_TAGS = ("!", "tag:yaml.org,2002:str")


class _BrokenError(Exception):
    """The text is not YAML; the finding is noted."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A composed value with its place, its number of values and its height."""

    value: Any
    place: Place
    n_values: int = 1
    height: int = 0


def read(source: str | bytes, findings: Findings, limits: Mapping[Path, int]) -> Any:
    """Return the plain data of a text and set ``findings.root`` to the places of its values.

    Raises:
        TooMuchError: A limit was passed; noted.
    """
    content = _decoded(source, findings)
    if content is None:
        return None
    try:
        part = _Composer(content, findings, Budget(findings, limits)).document()
    except (yaml.YAMLError, _BrokenError) as error:
        if content.lstrip().startswith("{") and (value := _as_json(content)) is not None:
            findings.forget()
            return plain(value, findings, Budget(findings, limits))
        if isinstance(error, yaml.YAMLError):
            found = json_text.fault(content) if json_text.is_meant(content) else None
            if found is not None:
                findings.error((), found.message, found.fix, line=found.line)
            else:
                _note_syntax(error, content, findings)
        return None
    if part is None:
        return None
    findings.root = part.place
    return part.value


def _decoded(source: str | bytes, findings: Findings) -> str | None:
    if len(source) > MAX_BYTES:
        findings.error(
            (),
            f"the definition is larger than {MAX_BYTES} bytes",
            "keep measured tables in a file of their own (candidates, or evaluator type table)",
        )
        return None
    if isinstance(source, str):
        source = source.encode("utf-8", errors="surrogatepass")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        findings.error((), "the text is not UTF-8", "save the file as UTF-8", line=line)
        return None


class _Composer:
    """Composes one document out of parser events, within a budget."""

    def __init__(self, content: str, findings: Findings, budget: Budget) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(content, Loader=_Loader))
        self._findings = findings
        self._budget = budget
        self._anchors: dict[str, _Part] = {}

    def document(self) -> _Part | None:
        """Return the only document of the text, or None when there is none."""
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        part = self._node(next(self._events), (), 0)
        next(self._events)
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            line = following.start_mark.line + 1
            what = "a second document begins here; a definition is one document"
            self._findings.error((), what, "remove '---' or split the file", line=line)
        return part

    def _node(self, event: Any, path: Path, depth: int) -> _Part:
        line = event.start_mark.line + 1
        self._budget.spend(path, depth=depth, line=line)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, depth, line)
        if event.tag is not None and event.tag not in _TEXT_TAGS:
            what = f"the tag {event.tag[:60]} is not allowed; a definition holds plain values only"
            self._findings.error(path, what, "remove the word that begins with '!'", line=line)
        if isinstance(event, yaml.ScalarEvent):
            part = _Part(self._scalar(event, path, line), Place(line))
        elif isinstance(event, yaml.SequenceStartEvent):
            part = self._sequence(path, depth, line)
        else:
            part = self._mapping(path, depth, line)
        if event.anchor is not None:
            self._anchors[event.anchor] = part
        return part

    def _alias(self, event: Any, path: Path, depth: int, line: int) -> _Part:
        part = self._anchors.get(event.anchor)
        if part is None:
            what = f"*{event.anchor[:60]} refers to an anchor that is not complete at this point"
            self._findings.error(path, what, f"define &{event.anchor[:60]} before", line=line)
            raise _BrokenError
        self._budget.spend(path, part.n_values, depth=depth + part.height, line=line)
        return _Part(_copied(part.value), part.place, part.n_values, part.height)

    def _sequence(self, path: Path, depth: int, line: int) -> _Part:
        values: list[Any] = []
        place = Place(line)
        n_values, height = 1, 0
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            part = self._node(event, (*path, len(values)), depth + 1)
            place.inside[len(values)] = part.place
            values.append(part.value)
            n_values, height = n_values + part.n_values, max(height, part.height + 1)
        return _Part(values, place, n_values, height)

    def _mapping(self, path: Path, depth: int, line: int) -> _Part:
        values: dict[str, Any] = {}
        place = Place(line)
        n_values, height = 1, 0
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key_line = event.start_mark.line + 1
            key = self._key(event, path, depth, key_line)
            here = path if key is None else (*path, key)
            part = self._node(next(self._events), here, depth + 1)
            n_values, height = n_values + part.n_values, max(height, part.height + 1)
            if key is None:
                continue
            if key in values:
                first = place.inside[key].line
                what = f"the key '{key[:60]}' appears twice; first on line {first}"
                self._findings.error(here, what, "keep one of them", line=key_line)
                continue
            values[key] = part.value
            # A value may begin below its key; people look for the key.
            place.inside[key] = Place(key_line, part.place.inside)
        return _Part(values, place, n_values, height)

    def _key(self, event: Any, path: Path, depth: int, line: int) -> str | None:
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, path, depth + 1)
            what = "a key must be text; here a list, a mapping or an alias stands in its place"
            self._findings.error(path, what, "write key: value", line=line)
            return None
        if event.value == "<<" and event.implicit[0]:
            what = "merge keys (<<) are not supported"
            self._findings.error(path, what, "write the keys out", line=line)
            return None
        return text(event.value, self._findings, path, line)

    def _scalar(self, event: Any, path: Path, line: int) -> Any:
        written: str = event.value
        is_plain = event.implicit[0] and event.tag is None
        if not is_plain:
            return scalar(written, self._findings, path, line)
        if written in _NULL:
            return None
        if written in _TRUTH:
            return _TRUTH[written]
        if _NOT_FINITE.fullmatch(written):
            what = f"{written} is not a finite number"
            fix = "write a number; leave the key out when there is no value"
            self._findings.error(path, what, fix, line=line)
            return None
        if _INTEGER.fullmatch(written):
            # Python refuses to read very long integers; all beyond 64 bits are refused here.
            value = int(written) if len(written) < 40 else LARGEST_INTEGER + 1
            return scalar(value, self._findings, path, line)
        if _NUMBER.fullmatch(written):
            return self._number(written, path, line)
        return scalar(written, self._findings, path, line)

    def _number(self, written: str, path: Path, line: int) -> float | None:
        value = float(written)
        if value in (float("inf"), float("-inf")):
            what = f"the number {written[:40]} is too large; numbers stay below 1.8e308"
            self._findings.error(path, what, "write a smaller number", line=line)
            return None
        return value


def _copied(value: Any) -> Any:
    """Return lists and mappings of their own for each place that an alias puts them."""
    if isinstance(value, dict):
        return {key: _copied(inner) for key, inner in value.items()}
    return [_copied(inner) for inner in value] if isinstance(value, list) else value


def _as_json(content: str) -> Any:
    """Return the value of JSON that YAML cannot read, such as JSON indented by tabs, or None."""
    try:
        return json.loads(content, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        return None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("duplicate keys")
    return found


def _note_syntax(error: yaml.YAMLError, content: str, findings: Findings) -> None:
    problem = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    lines = content.splitlines()
    mark = getattr(error, "problem_mark", None)
    opening = getattr(error, "context_mark", None)
    is_left_open = "expected ',' or" in problem or "end of stream" in problem
    if opening is not None and (mark is None or is_left_open):
        mark = opening  # where the bracket or quote stands that was left open
    if mark is None:
        line, where = content.count("\n", 0, getattr(error, "position", 0)) + 1, ""
    else:
        line, where = mark.line + 1, f" at column {mark.column + 1}"
    what, fix = _in_words(problem, lines[line - 1] if line <= len(lines) else "")
    findings.error((), f"this is not valid YAML{where}: {what}", fix, line=line)


def _in_words(problem: str, written: str) -> tuple[str, str]:
    """Return what a complaint of the parser usually means, and what to do."""
    if written.lstrip(" ").startswith("\t") or "'\\t'" in problem:
        return "a tab is used for indentation", "indent with spaces only"
    if "mapping values are not allowed" in problem:
        return (
            "there is a second ':' or the indentation does not fit",
            "put text that contains ': ' in quotes; align keys of one mapping",
        )
    if "could not find expected ':'" in problem:
        return "a line without ':' stands among keys", "write key: value"
    if "expected <block end>" in problem or "did not find expected key" in problem:
        return (
            "the indentation does not fit the lines above",
            "align the keys of one mapping and the '-' of one list",
        )
    if "expected ',' or" in problem:
        return "this bracket is not closed, or a comma is missing in it", "close every [ and {"
    if "end of stream" in problem:
        return "this quote is never closed", "close it with the same quote"
    if "special characters are not allowed" in problem or "control characters" in problem:
        return "it contains a control character", "save it as plain text in UTF-8"
    if "cannot start any token" in problem:
        return (
            "a value begins with a character that has a meaning in YAML",
            "put the value in quotes",
        )
    if "alias" in problem:
        return problem, "write the value out instead of the alias"
    return problem, "check the line above it too: quotes, brackets and indentation"
