"""What a report holds, and that nothing in it can run or is lost."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from materia import report
from materia.errors import DataError
from materia.mdl.definition import Definition
from materia.report import figures
from materia.report.content import Content, number
from materia.report.files import write_whole
from materia.report.page import page
from materia.report.table import csv_text, safe

SCRIPT = "<script>alert(1)</script>"


def definition(n_objectives: int = 2, **objective: Any) -> dict[str, Any]:
    objectives = [
        {"name": "stiffness", "direction": "maximize", "unit": "GPa", **objective},
        {"name": "weight", "direction": "minimize", "unit": "$/kg $"},
    ]
    return {
        "name": "beam",
        "description": f"A beam {SCRIPT}",
        "parameters": [
            {"name": "width", "type": "continuous", "bounds": [1, 100], "log_scale": True},
            {"name": "layers", "type": "integer", "bounds": [1, 8], "unit": SCRIPT},
            {"name": "glue", "type": "categorical", "choices": ["=cmd()", SCRIPT, "epoxy"]},
            {"name": "mix", "type": "composition", "parts": [{"name": "a"}, {"name": "b"}]},
        ],
        "objectives": objectives[:n_objectives],
        "optimizer": {"budget": 20},
    }


def candidate(number: int, **change: Any) -> dict[str, Any]:
    params = {
        "width": 1.0 + number,
        "layers": 1 + number % 8,
        "glue": "epoxy",
        "a": 0.25,
        "b": 0.75,
    }
    plain: dict[str, Any] = {
        "id": f"c{number + 1:04d}",
        "iteration": number // 4,
        "state": "told",
        "params": params,
        "predicted": None,
        "outcomes": {"stiffness": 10.0 + number, "weight": 5.0 + (number - 6) ** 2},
        "why": {"source": "initial design" if number < 4 else "ehvi"},
    }
    return {**plain, **change}


def candidates(n: int = 12) -> list[dict[str, Any]]:
    rows = [candidate(i) for i in range(n)]
    rows[1]["params"]["glue"] = "=cmd()"
    rows[2]["params"]["glue"] = SCRIPT
    rows[5] = candidate(5, state="failed", outcomes=None, error="@it broke")
    rows[7]["outcomes"]["stiffness"] = [17.0, 0.5]
    rows[8]["predicted"] = {"stiffness": {"mean": 1.5, "std": 0.1}}
    rows[-1] = candidate(n - 1, state="proposed", outcomes=None)
    return rows


CONVERGENCE = {
    "converged": False,
    "reason": None,
    "trace": [
        {"iteration": 0, "n_observations": 4, "hypervolume": None, "best": None},
        {"iteration": 1, "n_observations": 7, "hypervolume": 3.0, "best": 16.0},
        {"iteration": 2, "n_observations": 10, "hypervolume": 5.0, "best": 19.0},
    ],
}
PARITY = {
    "stiffness": {"measured": [1.0, 2.0, 4.0], "predicted": [1.1, 2.2, 3.8], "std": [0.1] * 3},
    "weight": {"measured": [5.0, 6.0], "predicted": [5.0, 6.0], "std": [0.0, 0.0]},
}


def predicted(values: list[Any]) -> dict[str, dict[str, list[float]]]:
    return {
        name: {"mean": [float(i) for i in range(len(values))], "std": [0.5] * len(values)}
        for name in ("stiffness", "weight")
    }


def along(parameter: str) -> dict[str, Any]:
    """A slice as an engine returns it; there is none along the layers."""
    values = {"width": [1.0, 10.0, 100.0], "glue": ["=cmd()", SCRIPT], "a": [0, 1], "b": [0, 1]}
    if parameter not in values:
        raise DataError("it does not exist at this point")
    return {
        "parameter": parameter,
        "at": candidate(1)["params"],
        "values": values[parameter],
        "predicted": predicted(values[parameter]),
    }


IMPORTANCE = {
    "stiffness": {"width": 0.7, "layers": 0.9, "glue": 0.1, "mix": 0.2},
    "weight": {"width": 0.2, "layers": 0.1, "glue": 0.3, "mix": 0.0},
}


def learnt() -> report.Learnt:
    return report.Learnt.of(Definition.model_validate(definition()), IMPORTANCE, along)


def content(n_objectives: int = 2, rows: list[dict[str, Any]] | None = None) -> Content:
    campaign = {"name": "beam", "definition": definition(n_objectives), "state": "running"}
    return Content.of(campaign, candidates() if rows is None else rows, CONVERGENCE, PARITY)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("report") / "new"
    campaign = {"name": "beam", "definition": definition(), "hypervolume": 5.0, "state": "running"}
    return report.write(folder, campaign, candidates(), CONVERGENCE, PARITY, learnt())


@pytest.fixture(scope="module")
def html(written: dict[str, Path]) -> str:
    return written["report"].read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Collects the start tags of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_a_report_is_a_table_figures_and_a_page(written: dict[str, Path]) -> None:
    names = {"results", "pareto_front", "hypervolume", "parity", "parallel_coordinates", "report"}
    names |= {"importance", "slices"}
    assert set(written) == names
    for name in names - {"results", "report"}:
        image = written[name].read_bytes()
        assert image.startswith(b"\x89PNG")
        assert int.from_bytes(image[16:20]) >= 1000  # pixels across, enough for print
    assert [path.name for path in written["report"].parent.iterdir() if path.name[0] == "."] == []


def test_the_table_holds_every_candidate_in_full_precision() -> None:
    rows = candidates()
    rows[0]["outcomes"]["stiffness"] = 0.1 + 0.2
    lines = list(csv.DictReader(io.StringIO(csv_text(content(rows=rows)))))
    assert [line["id"] for line in lines] == [row["id"] for row in rows]
    assert float(lines[0]["stiffness"]) == 0.1 + 0.2
    assert lines[5]["state"] == "failed"
    assert lines[5]["stiffness"] == ""
    assert (lines[7]["stiffness"], lines[7]["stiffness_sem"]) == ("17.0", "0.5")
    assert (lines[8]["stiffness_predicted"], lines[8]["stiffness_predicted_std"]) == ("1.5", "0.1")
    assert lines[3]["b"] == "0.75"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-a", "'-a"),
        ("@sum", "'@sum"),
        ("\tx", "'\tx"),
        ("epoxy", "epoxy"),
        (-3.5, -3.5),
        (None, None),
    ],
)
def test_text_that_a_spreadsheet_would_run_is_neutralised_and_numbers_are_not(
    cell: object, expected: object
) -> None:
    assert safe(cell) == expected


def test_dangerous_choices_and_errors_are_neutralised_in_the_table() -> None:
    text = csv_text(content())
    assert "'=cmd()" in text
    assert "'@it broke" in text
    assert all(
        not cell.startswith(("=", "@")) for row in csv.reader(io.StringIO(text)) for cell in row
    )


def test_the_page_loads_nothing_from_outside(html: str) -> None:
    tags = Elements(html).tags
    links = [
        value
        for _, attributes in tags
        for key, value in attributes.items()
        if key in ("src", "href", "action", "data", "poster", "xlink:href")
    ]
    assert links
    assert all(link and link.startswith("#") for link in links)
    styles = [attributes.get("style") or "" for _, attributes in tags]
    styles.append(re.search(r"<style>(.*?)</style>", html, re.S).group(1))
    assert not any("url(" in style.replace("url(#", "") or "@import" in style for style in styles)


def test_the_page_runs_its_own_script_only(html: str) -> None:
    tags = Elements(html).tags
    assert [tag for tag, _ in tags].count("script") == 1
    assert not any(key.startswith("on") for _, attributes in tags for key in attributes)
    script = re.search(r"<script>(.*?)</script>", html, re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = next(a["content"] for _, a in tags if a.get("http-equiv") == "Content-Security-Policy")
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy


def test_names_units_and_choices_are_shown_as_text(html: str) -> None:
    assert SCRIPT not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_a_unit_with_dollars_is_text_and_not_mathematics(html: str) -> None:
    assert "$/kg $" in html


def test_the_page_follows_light_and_dark(html: str) -> None:
    assert "prefers-color-scheme: dark" in html
    drawn = re.findall(r"<svg.*?</svg>", html, re.S)
    assert len(drawn) == 6
    for svg in drawn:
        assert "var(--ink)" in svg
        assert not re.search(r"(#1b1f24|#6a737d|#d0d7de|#fffffe|#d55e00|#0072b2)", svg)


def test_ids_of_figures_do_not_collide_and_their_references_are_kept(html: str) -> None:
    tags = Elements(html).tags
    ids = [a["id"] for _, a in tags if "id" in a]
    assert len(ids) == len(set(ids))
    used = {a["href"][1:] for _, a in tags if (a.get("href") or "").startswith("#")}
    used |= set(re.findall(r"url\(#([^)]+)\)", html))
    assert used
    assert used <= set(ids)


def test_marks_in_figures_name_their_candidates(html: str) -> None:
    front = re.search(r'<svg[^>]*aria-labelledby="pareto_front-caption".*?</svg>', html, re.S)
    marked = set(re.findall(r'data-id="(c\d+)"', front.group()))
    assert marked == {row["id"] for row in candidates() if row["outcomes"]}


def test_axes_carry_units_and_the_aim(html: str) -> None:
    assert "stiffness (GPa) ↑" in html
    assert "weight ($/kg $) ↓" in html


def test_the_front_is_computed_when_it_is_not_given() -> None:
    # Stiffness rises with the number, weight is least at 6: from 6 on everything is a trade-off.
    assert [row.id for row in content().front] == ["c0011", "c0010", "c0009", "c0008", "c0007"]


def test_the_most_important_parameters_are_drawn_along_and_parts_stand_for_a_composition() -> None:
    assert [one["parameter"] for one in learnt().slices] == ["width", "glue", "a", "b"]


def test_without_a_surrogate_nothing_is_said_to_matter(tmp_path: Path) -> None:
    nothing = report.Learnt.of(Definition.model_validate(definition()), {}, along)
    campaign = {"name": "beam", "definition": definition()}
    written = report.write(tmp_path, campaign, candidates(), CONVERGENCE, PARITY, nothing)
    assert not {"importance", "slices"} & set(written)


@pytest.mark.parametrize("is_given", [False, True])
def test_figures_and_the_front_show_the_means_of_replicates(is_given: bool) -> None:
    declared = {**definition(), "optimizer": {"budget": 20, "replicates": 3}}
    # The first of three is lucky, and one of the second point has failed.
    stiffness = [30.0, 10.0, 11.0, 20.0, 22.0, None, 12.0, 12.0, 12.0]
    rows = [
        candidate(i, params=candidate(i // 3)["params"], outcomes={"stiffness": y, "weight": 1.0})
        if y is not None
        else candidate(i, params=candidate(i // 3)["params"], state="failed", outcomes=None)
        for i, y in enumerate(stiffness)
    ]
    if is_given:
        rows = [{**row, "is_pareto": row["id"] in ("c0004", "c0005")} for row in rows]
    shown = Content.of({"name": "beam", "definition": declared}, rows, {}, {})
    assert [row.values["stiffness"] for row in shown.measured] == [17.0, 21.0, 12.0]
    (best,) = shown.front
    assert (best.id, best.values["stiffness"]) == ("c0004", 21.0)
    assert best.errors["stiffness"] > 0.0
    assert [row.id for row in shown.rows if row.is_front] == ["c0004", "c0005"]
    assert shown.rows[0].values["stiffness"] == 30.0  # the table holds every candidate
    assert ("on the front", "1") in shown.facts


def test_a_given_front_is_believed() -> None:
    rows = [{**row, "is_pareto": row["id"] == "c0002"} for row in candidates()]
    assert [row.id for row in content(rows=rows).front] == ["c0002"]


def test_one_objective_has_a_trace_of_the_best_value_instead_of_a_front(tmp_path: Path) -> None:
    campaign = {"name": "beam", "definition": definition(1)}
    rows = [
        {**row, "outcomes": row["outcomes"] and {"stiffness": row["outcomes"]["stiffness"]}}
        for row in candidates()
    ]
    parity = {"stiffness": PARITY["stiffness"]}
    written = report.write(tmp_path, campaign, rows, CONVERGENCE, parity)
    assert set(written) == {"results", "best_value", "parity", "parallel_coordinates", "report"}
    assert "<h2>Best</h2>" in written["report"].read_text()


def test_a_target_is_approached_from_both_sides() -> None:
    campaign = {"name": "beam", "definition": definition(1, target=16.2)}
    rows = [candidate(i, outcomes={"stiffness": 10.0 + i}) for i in range(12)]
    shown = Content.of(campaign, rows, {}, {})
    assert [row.values["stiffness"] for row in shown.front] == [16.0]
    assert shown.objectives[0].title == "stiffness (GPa) → target"


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("n_objectives", [1, 2])
def test_a_campaign_that_has_hardly_begun_has_a_report_too(
    tmp_path: Path, n: int, n_objectives: int
) -> None:
    campaign = {"name": "beam", "definition": definition(n_objectives)}
    rows = [candidate(i) for i in range(n)]
    written = report.write(tmp_path, campaign, rows, {"trace": []}, {})
    assert written["results"].read_text().count("\n") == 1 + n
    assert ("<svg" in written["report"].read_text()) == (n == 1)


def test_only_failures_make_a_report_that_says_why(tmp_path: Path) -> None:
    campaign = {"name": "beam", "definition": definition()}
    rows = [candidate(i, state="failed", outcomes=None, error={"message": "no"}) for i in range(3)]
    written = report.write(tmp_path, campaign, rows, {"trace": []}, {})
    page = written["report"].read_text()
    assert "Nothing was measured" in page
    assert '<td class="text note">no</td>' in page


def test_many_parameters_still_fit(tmp_path: Path) -> None:
    declared = definition()
    declared["parameters"] = [
        {"name": f"p{i}", "type": "continuous", "bounds": [0, 1]} for i in range(40)
    ]
    params = {f"p{i}": i / 40 for i in range(40)}
    rows = [candidate(i, params=params) for i in range(6)]
    written = report.write(tmp_path, {"name": "beam", "definition": declared}, rows, {}, {})
    assert "parallel_coordinates" in written


def test_the_same_data_give_the_same_files(tmp_path: Path, written: dict[str, Path]) -> None:
    campaign = {"name": "beam", "definition": definition(), "hypervolume": 5.0, "state": "running"}
    again = report.write(tmp_path, campaign, candidates(), CONVERGENCE, PARITY, learnt())
    assert {n: p.read_bytes() for n, p in again.items()} == {
        n: p.read_bytes() for n, p in written.items()
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.1 + 0.2, "0.3"), (3.0, "3"), (123456.7, "1.2346e+05"), (True, "True"), ("x", "x"),
     (math.inf, "–"), (7, "7"), (-0.00012, "-0.00012")],
)  # fmt: skip
def test_numbers_are_shown_to_five_digits(value: object, shown: str) -> None:
    assert number(value) == shown


def test_a_file_that_cannot_be_written_is_an_error_and_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.csv"
    write_whole(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(DataError, match="No space left"):
        patched.setattr("os.fsync", full)
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]
    with pytest.raises(DataError, match="cannot write"):
        write_whole(path / "inside_a_file.csv", b"")


def test_the_colour_bar_of_the_front_spans_the_front_and_log_axes_say_so() -> None:
    from materia.report.figures import parallel_coordinates

    lines, bar = parallel_coordinates(content()).axes
    assert bar.get_ylim() == (16.0, 20.0)  # the candidates begin at 10
    titles = [label.get_text() for label in lines.get_xticklabels()]
    assert [title for title in titles if "log scale" in title] == ["width\nlog scale"]


def constrained(n_objectives: int = 2) -> dict[str, Any]:
    limits = [{"expression": "stiffness >= 12"}]
    return {**definition(n_objectives), "outcome_constraints": limits}


@pytest.mark.parametrize("n_objectives", [1, 2])
def test_a_broken_outcome_constraint_is_named_in_table_page_and_figure(
    tmp_path: Path, n_objectives: int
) -> None:
    campaign = {"name": "beam", "definition": constrained(n_objectives)}
    written = report.write(tmp_path, campaign, candidates(), CONVERGENCE, PARITY)
    lines = list(csv.DictReader(io.StringIO(written["results"].read_text())))
    assert [line["id"] for line in lines if line["breaks"] == "stiffness >= 12"] == [
        "c0001",
        "c0002",
    ]
    html = written["report"].read_text()
    assert html.count('<td class="text">stiffness &gt;= 12</td>') == 2
    name = "pareto_front" if n_objectives == 2 else "best_value"
    figure = re.search(rf'<svg[^>]*aria-labelledby="{name}-caption".*?</svg>', html, re.S).group()
    assert "breaks stiffness &gt;= 12" in figure, "the legend"
    crosses = re.search(r'id="[^"]*marks-broken".*?</g>\s*</g>', figure, re.S).group()
    assert re.findall(r'data-id="(c\d+)"', crosses) == ["c0001", "c0002"]


def test_what_an_evaluator_computed_besides_is_in_the_table() -> None:
    rows = candidates()
    rows[0]["metadata"] = {
        "n_atoms": {"Cu": 10, "Ni": 22},
        "repeat": [2, 2, 2],
        "state": "=cmd()",
        "properties": {"stiffness": 10.0, "formation_energy": -0.25},
    }
    text = csv_text(content(rows=rows))
    first, *others = csv.DictReader(io.StringIO(text))
    assert (first["n_atoms.Cu"], first["n_atoms.Ni"], first["repeat"]) == ("10", "22", "2x2x2")
    assert first["formation_energy"] == "-0.25"
    assert first["metadata.state"] == "'=cmd()"
    assert text.splitlines()[0].split(",").count("stiffness") == 1
    assert all(line["formation_energy"] == "" for line in others)


def test_of_three_objectives_every_pair_is_drawn(tmp_path: Path) -> None:
    declared = definition()
    declared["objectives"] = [*declared["objectives"], {"name": "cost", "direction": "minimize"}]
    rows = candidates()
    for row in rows:
        if row["outcomes"]:
            row["outcomes"] = {**row["outcomes"], "cost": 3.0}
    written = report.write(
        tmp_path, {"name": "beam", "definition": declared}, rows, CONVERGENCE, {}
    )
    fronts = {name for name in written if name.startswith("pareto_front")}
    pairs = ("stiffness_weight", "stiffness_cost", "weight_cost")
    assert fronts == {f"pareto_front_{pair}" for pair in pairs}


def test_a_parameter_that_does_not_exist_is_an_empty_cell_and_no_point_of_a_line() -> None:
    declared = definition()
    declared["parameters"] += [
        {"name": "filler", "type": "categorical", "choices": ["no", "yes"]},
        {"name": "share", "type": "continuous", "bounds": [0, 1], "when": {"filler": "yes"}},
    ]
    rows = candidates()
    for i, row in enumerate(rows):
        row["params"] |= (
            {"filler": "yes", "share": 0.5} if i % 2 else {"filler": "no", "share": None}
        )
    campaign = {"name": "beam", "definition": declared, "state": "running"}
    found = Content.of(campaign, rows, CONVERGENCE, PARITY)
    lines = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert [line["share"] for line in lines] == ["0.5" if i % 2 else "" for i in range(len(rows))]
    lines_drawn = figures.parallel_coordinates(found).axes[0].collections
    paths = [path for collection in lines_drawn for path in collection.get_paths()]
    assert {len(path.vertices) for path in paths} == {8, 9}
    assert "<td>None</td>" not in page(found, {})
    assert "<td></td>" in page(found, {})
