"""The built-in problems against their published answers, and the evaluator around them."""

from __future__ import annotations

import math

import moocore
import numpy as np
import pytest

from materia import evaluators
from materia.errors import DefinitionError
from materia.evaluators.problems import PROBLEMS
from materia.mdl.definition import Definition


def number(name: str, low: float, high: float) -> dict[str, object]:
    return {"name": name, "type": "continuous", "bounds": [low, high]}


def definition(
    name: str,
    n_inputs: int,
    n_objectives: int,
    bounds: list[float] | None = None,
    direction: str = "minimize",
    **options: object,
) -> Definition:
    low, high = bounds or PROBLEMS[name].bounds[0] if name in PROBLEMS else (0.0, 1.0)
    return Definition.model_validate(
        {
            "name": "problem",
            "parameters": [number(f"x{i}", low, high) for i in range(n_inputs)],
            "objectives": [{"name": f"f{i}", "direction": direction} for i in range(n_objectives)],
            "evaluator": {"type": "function", "options": {"name": name, **options}},
        }
    )


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("branin", [math.pi, 2.275]),
        ("branin", [-math.pi, 12.275]),
        ("branin", [9.42478, 2.475]),
        ("hartmann3", [0.114589, 0.555649, 0.852547]),
        ("hartmann6", [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573]),
        ("ackley", [0.0] * 10),
        ("styblinski_tang", [-2.903534] * 4),
        ("rosenbrock", [1.0] * 5),
        ("rastrigin", [0.0] * 3),
        ("levy", [1.0] * 3),
        ("sphere", [0.0] * 7),
    ],
)
def test_the_published_optimum_is_reached_and_nothing_nearby_is_lower(
    name: str, at: list[float]
) -> None:
    problem, d = PROBLEMS[name], len(at)
    optimum = problem.optimum_for(d)
    assert optimum is not None
    assert problem(np.array([at]))[0, 0] == pytest.approx(optimum, abs=2e-5)
    low, high = np.array(problem.bounds_for(d)).T
    random = np.random.default_rng(0)
    anywhere = random.uniform(low, high, (2000, d))
    near = np.clip(np.array(at) + random.normal(0, 0.01, (2000, d)), low, high)
    assert problem(np.vstack([anywhere, near])).min() >= optimum - 1e-12


@pytest.mark.parametrize("name", ["zdt1", "zdt2", "zdt3"])
def test_the_ideal_hypervolume_of_zdt_is_that_of_its_front(name: str) -> None:
    problem = PROBLEMS[name]
    first = np.linspace(0, 1, 50_001)
    front = problem(np.column_stack([first, np.zeros((first.size, 3))]))
    hypervolume = moocore.hypervolume(front, ref=problem.reference_point)
    assert hypervolume == pytest.approx(problem.ideal_hypervolume, rel=1e-5)
    assert hypervolume <= problem.ideal_hypervolume


def test_the_ideal_hypervolume_of_dtlz2_is_that_of_its_front() -> None:
    problem = PROBLEMS["dtlz2"]
    first = np.linspace(0, 1, 20_001)
    front = problem(np.column_stack([first, np.full((first.size, 4), 0.5)]), 2)
    assert moocore.hypervolume(front, ref=[1.1, 1.1]) == pytest.approx(
        problem.ideal_hypervolume, rel=1e-4
    )


@pytest.mark.parametrize("m", [2, 3, 5])
def test_the_front_of_dtlz2_lies_on_the_unit_sphere(m: int) -> None:
    X = np.random.default_rng(1).uniform(size=(50, m + 4))
    X[:, m - 1 :] = 0.5
    assert np.linalg.norm(PROBLEMS["dtlz2"](X, m), axis=1) == pytest.approx(np.ones(50))


def test_dtlz7_gives_its_position_variables_and_a_wavy_last_objective() -> None:
    X = np.array([[0.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.0, 0.0]])
    values = PROBLEMS["dtlz7"](X, 2)
    assert values[:, 0] == pytest.approx([0.0, 0.5])
    # g = 1: (1 + g) (2 - f1 / 2 (1 + sin(3 pi f1)))
    assert values[:, 1] == pytest.approx([4.0, 2 * (2 - 0.25 * (1 + math.sin(1.5 * math.pi)))])


def test_branin_currin_agrees_with_its_published_hypervolume() -> None:
    problem = PROBLEMS["branin_currin"]
    # The front runs along x2 = 1 and along a curved valley; a grid finds nearly all of it.
    x1, x2 = np.meshgrid(np.linspace(0, 1, 1501), np.linspace(0, 1, 1501))
    values = problem(np.column_stack([x1.ravel(), x2.ravel()]))
    hypervolume = moocore.hypervolume(values, ref=[18, 6])
    assert 0.995 * problem.ideal_hypervolume < hypervolume <= problem.ideal_hypervolume


def test_currin_is_finite_where_its_formula_divides_by_zero() -> None:
    assert np.isfinite(PROBLEMS["branin_currin"](np.array([[0.0, 0.0], [0.0, 1e-320]]))).all()


def test_vehicle_safety_at_its_lower_corner_is_the_sum_of_its_coefficients() -> None:
    mass, acceleration, intrusion = PROBLEMS["vehicle_safety"](np.ones((1, 5)))[0]
    assert mass == pytest.approx(1661.7078225)
    assert acceleration == pytest.approx(8.3046)
    assert intrusion == pytest.approx(0.0708)


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_problem_gives_one_finite_row_per_point_and_leaves_its_argument_alone(
    name: str,
) -> None:
    problem = PROBLEMS[name]
    d = problem.n_inputs or 6
    low, high = np.array(problem.bounds_for(d)).T
    X = np.vstack([low, high, np.random.default_rng(2).uniform(low, high, (20, d))])
    before = X.copy()
    values = problem(X)
    assert values.shape == (22, problem.n_objectives or 2)
    assert np.isfinite(values).all()
    assert (before == X).all()


def test_parameters_and_objectives_are_matched_in_declared_order() -> None:
    evaluator = evaluators.build(definition("zdt1", 3, 2), data_roots=[])
    evaluation = evaluator.evaluate({"x2": 0.5, "x0": 0.25, "x1": 0.0}, seed=1)
    expected = PROBLEMS["zdt1"](np.array([[0.25, 0.0, 0.5]]))[0]
    assert evaluation.outcomes == {"f0": expected[0], "f1": expected[1]}


def test_the_parts_of_a_composition_are_inputs_one_by_one() -> None:
    declared = Definition.model_validate(
        {
            "name": "mixture",
            "parameters": [
                {"name": "mix", "type": "composition", "parts": [{"name": "a"}, {"name": "b"}]},
                {"name": "n", "type": "integer", "bounds": [-2, 2]},
            ],
            "objectives": [{"name": "f"}],
            "evaluator": {"type": "function", "options": {"name": "sphere"}},
        }
    )
    evaluator = evaluators.build(declared, data_roots=[])
    outcomes = evaluator.evaluate({"a": 0.6, "b": 0.4, "n": 2}, seed=0).outcomes
    assert outcomes["f"] == pytest.approx(4.52)


def test_an_evaluator_without_delay_is_cheap_and_one_with_delay_is_not() -> None:
    assert evaluators.build(definition("sphere", 2, 1), data_roots=[]).cheap
    assert not evaluators.build(definition("sphere", 2, 1, delay_s=0.5), data_roots=[]).cheap


@pytest.mark.parametrize(
    ("declared", "level", "path", "words"),
    [
        (definition("zdt7", 3, 2), "error", "evaluator.options.name", "zdt7"),
        (definition("zdt1", 1, 2), "error", "parameters", "at least 2"),
        (definition("branin", 3, 1), "error", "parameters", "takes 2 numbers"),
        (definition("dtlz2", 3, 4), "error", "parameters", "at least 4"),
        (definition("zdt1", 3, 1), "error", "objectives", "gives 2 objectives"),
        (definition("hartmann6", 6, 2), "error", "objectives", "gives 1 objectives"),
        (
            definition("zdt1", 3, 2, direction="maximize"),
            "error",
            "objectives[0].direction",
            "minimised",
        ),
        (definition("zdt1", 3, 2, [0, 2]), "error", "parameters[0].bounds", "[0, 1]"),
        (definition("sphere", 3, 1, [0, 9]), "warning", "parameters[0].bounds", "5.12"),
        (definition("sphere", 3, 1, delay_s=-1), "error", "evaluator.options.delay_s", "greater"),
        (definition("sphere", 3, 1, delay=1), "error", "evaluator.options.delay", "no option"),
    ],
)
def test_a_mismatch_is_a_finding_with_its_place(
    declared: Definition, level: str, path: str, words: str
) -> None:
    finding = evaluators.check(declared, data_roots=[])[0]
    assert (finding.level, finding.path) == (level, path)
    assert words in finding.message


def test_a_category_that_is_no_number_in_range_is_a_finding() -> None:
    declared = definition("zdt1", 2, 2).model_dump()
    declared["parameters"].append({"name": "s", "type": "categorical", "choices": ["a", "b"]})
    findings = evaluators.check(Definition.model_validate(declared), data_roots=[])
    assert [finding.path for finding in findings] == ["parameters[2].choices"]


def test_a_misspelt_function_and_option_are_answered_with_the_nearest() -> None:
    assert "zdt1" in str(evaluators.check(definition("zdtt1", 3, 2), data_roots=[])[0].fix)
    wrong = definition("zdt1", 3, 2, dely_s=1)
    assert "delay_s" in str(evaluators.check(wrong, data_roots=[])[0].fix)


def test_build_refuses_what_check_finds() -> None:
    with pytest.raises(DefinitionError) as raised:
        evaluators.build(definition("zdt1", 1, 1), data_roots=[])
    assert len(raised.value.findings) == 2
