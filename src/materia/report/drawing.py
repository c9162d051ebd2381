"""Figures as files: PNG for papers, SVG for the page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from materia.report import figures
from materia.report.content import Content

DPI = 200
_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"
_ROLES = {
    figures.INK: "var(--ink)",
    figures.MUTED: "var(--muted)",
    figures.FAINT: "var(--faint)",
    figures.ACCENT: "var(--accent)",
    figures.SECOND: "var(--second)",
    figures.PAPER: "var(--paper)",
}


@dataclass(frozen=True)
class Drawn:
    """One figure.

    Attributes:
        svg: An element to stand in a page, coloured by the page's custom properties.
    """

    name: str
    png: bytes
    svg: str


def draw(content: Content) -> Iterator[Drawn]:
    """Yield the figures for which there is something to show."""
    with mpl.rc_context(figures.STYLE):
        for name, figure in _figures(content):
            png, svg = io.BytesIO(), io.BytesIO()
            figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
            nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            figure.savefig(svg, format="svg", transparent=True, metadata=nothing)
            yield Drawn(name, png.getvalue(), _for_page(svg.getvalue().decode(), name))


def _figures(content: Content) -> Iterator[tuple[str, Figure]]:
    if not content.measured:
        return
    if len(content.objectives) == 1:
        yield "best_value", figures.best_value(content)
    else:
        for x, y in combinations(content.objectives, 2):
            is_only = len(content.objectives) == 2
            name = "pareto_front" if is_only else f"pareto_front_{x.name}_{y.name}"
            yield name, figures.pareto_front(content, x, y)
        if any(entry.get("hypervolume") is not None for entry in content.trace):
            yield "hypervolume", figures.hypervolume(content)
    if any(points["measured"] for points in content.parity.values()):
        yield "parity", figures.parity(content)
    if content.learnt is not None and content.learnt.importance:
        yield "importance", figures.importance(content)
        if content.learnt.slices:
            yield "slices", figures.slices(content)
    yield "parallel_coordinates", figures.parallel_coordinates(content)


def _for_page(svg: str, name: str) -> str:
    """Return the SVG as an inline element: ids of its own, colours of the page, marks named."""
    ElementTree.register_namespace("", _SVG)
    # matplotlib wrote this text a moment ago; it is no input from outside.
    root = ElementTree.fromstring(svg)
    for metadata in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(metadata)
    for element in root.iter():
        _name_marks(element)
        for key in ("width", "height"):
            if element is root:
                element.attrib.pop(key, None)
        if (link := element.attrib.pop(f"{{{_XLINK}}}href", None)) is not None:
            element.set("href", link)
        for key, value in list(element.attrib.items()):
            element.set(key, _renamed(key, value, name))
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-caption")
    return ElementTree.tostring(root, encoding="unicode")


def _renamed(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return value.replace("#", f"#{name}-", 1)
    if key == "clip-path":
        return value.replace("url(#", f"url(#{name}-", 1)
    if key == "style":
        for colour, role in _ROLES.items():
            value = value.replace(colour, role)
    return value


def _name_marks(element: ElementTree.Element) -> None:
    """Put the candidate's id on each mark of a collection that figures have tagged."""
    gid = element.get("id", "")
    if not gid.startswith("marks-"):
        return
    group, _, ids = gid.partition(":")
    element.set("id", group)
    names = ids.split(",") if ids else []
    marks = [mark for mark in _marks(element) if mark.tag in (f"{{{_SVG}}}use", f"{{{_SVG}}}path")]
    for mark, candidate in zip(marks, names, strict=len(marks) == len(names)):
        mark.set("data-id", candidate)


def _marks(element: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for child in element:
        if child.tag != f"{{{_SVG}}}defs":
            yield child
            yield from _marks(child)
