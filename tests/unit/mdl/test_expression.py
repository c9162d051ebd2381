"""The grammar of constraints and formulas: what it accepts, what it computes, how it refuses."""

from __future__ import annotations

import ast
import math
import operator
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materia.errors import DefinitionError
from materia.mdl.expression import (
    EQUALITY_TOLERANCE,
    MAX_DEPTH,
    MAX_EXPONENT,
    MAX_LENGTH,
    MAX_OPERATIONS,
    Binary,
    Name,
    Number,
    parse,
)

NAMES = ("a", "b", "x_1", "Ni")
GRAMMAR = [*NAMES, *"0123456789.eE+-*/()<>=, ", "**", "<=", ">=", "==", "exp(", "min(", "__class__"]


def refusal(text: str, *, functions: bool = False) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        parse(text, functions=functions)
    return caught.value


# What it accepts and computes


def test_a_constraint_knows_its_names_and_its_relation() -> None:
    expression = parse("ni + 2 * mn <= 1.0 - co")
    assert expression.names == {"ni", "mn", "co"}
    assert expression.relation == "<="
    assert expression.left == Binary("+", Name("ni"), Binary("*", Number(2.0), Name("mn")))
    assert expression.right == Binary("-", Number(1.0), Name("co"))
    assert expression.columns == {"ni": 1, "mn": 10, "co": 22}


def test_a_formula_has_no_relation_and_no_right_side() -> None:
    expression = parse("a - b - 1")
    assert (expression.relation, expression.right) == (None, None)
    assert expression.evaluate({"a": 5, "b": 3}) == 1.0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("8 / 4 / 2", 1),
        ("8 - 4 - 2", 2),
        ("-a * -b", 6),
        ("--a", 2),
        ("+a", 2),
        ("a - -b", 5),
        ("1e-3 * 1E3", 1),
        (".5 + 5.", 5.5),
        ("1\n+\t1", 2),
    ],
)
def test_precedence_and_signs_are_those_of_arithmetic(text: str, value: float) -> None:
    assert parse(text).evaluate({"a": 2, "b": 3}) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-a ** 2", -4),
        ("2 ** -1", 0.5),
        ("a ** +3 * 2", 16),
        ("(a ** 2) ** 2", 16),
        ("exp(0) + log(1) + sqrt(4)", 3),
        ("sin(0) + cos(0)", 1),
        ("abs(-a)", 2),
        ("min(a, b, 1)", 1),
        ("max(a, b, 1)", 3),
        ("max(min(a, b), 1) - 1", 1),
    ],
)
def test_formulas_have_powers_and_functions(text: str, value: float) -> None:
    assert parse(text, functions=True).evaluate({"a": 2, "b": 3}) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 / a", math.inf),
        ("-1 / a", -math.inf),
        ("a / a", math.nan),
        ("log(a)", -math.inf),
        ("log(a - 1)", math.nan),
        ("sqrt(a - 1)", math.nan),
        ("exp(1000 + a)", math.inf),
        ("(a - 8) ** 0.5", math.nan),
        ("a ** -1", math.inf),
        ("(a - 1e200) ** 3", -math.inf),
        ("(a + 1e200) ** 20", math.inf),
        ("min(a, a / a)", math.nan),
        ("sin(1 / a)", math.nan),
    ],
)
def test_undefined_results_are_infinite_or_nan_for_numbers_and_arrays(
    text: str, value: float
) -> None:
    formula = parse(text, functions=True)
    assert formula.evaluate({"a": 0}) == pytest.approx(value, nan_ok=True)
    assert formula.evaluate({"a": np.zeros(2)}) == pytest.approx([value] * 2, nan_ok=True)


def test_integers_neither_overflow_in_arrays_nor_grow_without_limit() -> None:
    product = parse(" * ".join(["a"] * 100))
    assert product.evaluate({"a": 2**53}) == math.inf
    assert product.evaluate({"a": np.array([2**53])}) == [math.inf]
    assert parse("a - b").evaluate({"a": True, "b": np.array([False])}) == [1.0]


@pytest.mark.parametrize("value", ["EC", None, [1], {}])
def test_a_value_that_is_no_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(DefinitionError, match=r"'a' is .*not a number"):
        parse("a + 1").evaluate({"a": value})


def test_a_missing_value_is_refused_by_name() -> None:
    with pytest.raises(DefinitionError, match="no value for 'b'"):
        parse("a + b").evaluate({"a": 1})


def test_a_relation_is_no_value_and_a_value_is_no_relation() -> None:
    with pytest.raises(DefinitionError, match="one value is needed"):
        parse("a <= 1").evaluate({"a": 1})
    with pytest.raises(DefinitionError, match="a relation is needed"):
        parse("a + 1").violation({"a": 1})


def test_an_expression_survives_a_process_boundary() -> None:
    expression = parse("a * b <= 1")
    again = pickle.loads(pickle.dumps(expression))  # noqa: S301 - written one call earlier
    assert again == expression
    assert again.violation({"a": 1, "b": 3}) == 2


def test_the_largest_expressions_can_be_computed() -> None:
    longest = "+".join(["a"] * (MAX_OPERATIONS + 1))
    deepest = "(" * MAX_DEPTH + "a" + ")" * MAX_DEPTH
    assert parse(longest).evaluate({"a": 1}) == MAX_OPERATIONS + 1
    assert parse(deepest).evaluate({"a": 1}) == 1
    assert parse("a".ljust(MAX_LENGTH)).evaluate({"a": 1}) == 1


# Properties


@st.composite
def formulas(draw: st.DrawFn, depth: int = 4) -> str:
    """Text without needless parentheses, so that precedence decides."""
    if depth == 0 or draw(st.booleans()):
        number = st.floats(0, 1e6).map(repr)
        return draw(st.one_of(st.sampled_from(NAMES), number, st.integers(0, 99).map(str)))
    inner = formulas(depth=depth - 1)
    shape = draw(st.sampled_from(["{} {} {}", "({} {} {})", "-{}", "({})**{}", "f({})"]))
    match shape:
        case "-{}":
            return f"-{draw(inner)}"
        case "({})**{}":
            return f"({draw(inner)})**{draw(st.sampled_from(['2', '3', '-1', '-2']))}"
        case "f({})":
            function = draw(st.sampled_from(["abs", "min", "max"]))
            more = "" if function == "abs" else f", {draw(inner)}"
            return f"{function}({draw(inner)}{more})"
    return shape.format(draw(inner), draw(st.sampled_from("+-*/")), draw(inner))


def independent(text: str, values: dict[str, float]) -> np.float64:
    """Value of the text as Python's own parser reads it, computed by NumPy."""
    operators = {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.Pow: operator.pow,
    }
    functions = {"abs": np.abs, "min": np.minimum, "max": np.maximum}

    def walk(node: ast.expr) -> np.float64:
        match node:
            case ast.Constant(value=int() | float() as value):
                return np.float64(value)
            case ast.Name(id=name):
                return np.float64(values[name])
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -walk(operand)
            case ast.BinOp(left=left, op=op, right=right):
                return operators[type(op)](walk(left), walk(right))
            case ast.Call(func=ast.Name(id=name), args=arguments):
                return functions[name](*map(walk, arguments))
        raise AssertionError(ast.dump(node))

    with np.errstate(all="ignore"):
        return walk(ast.parse(text, mode="eval").body)


@given(formulas(), st.tuples(*[st.floats(-1e6, 1e6)] * len(NAMES)))
def test_values_agree_with_an_independent_evaluation(text: str, numbers: tuple[float, ...]) -> None:
    values = dict(zip(NAMES, numbers, strict=True))
    expected = independent(text, values)
    assert parse(text, functions=True).evaluate(values) == pytest.approx(
        expected, rel=1e-12, abs=0, nan_ok=True
    )


@given(formulas(), st.lists(st.tuples(*[st.floats(-9, 9)] * len(NAMES)), min_size=1, max_size=4))
def test_arrays_give_what_their_elements_give(text: str, rows: list[tuple[float, ...]]) -> None:
    formula = parse(text, functions=True)
    columns = {
        name: np.array(column) for name, column in zip(NAMES, zip(*rows, strict=True), strict=True)
    }
    together = np.broadcast_to(formula.evaluate(columns), len(rows))
    single = [formula.evaluate(dict(zip(NAMES, row, strict=True))) for row in rows]
    assert together == pytest.approx(single, rel=1e-12, abs=0, nan_ok=True)


@given(
    st.sampled_from(
        [("<=", operator.le), (">=", operator.ge), ("<", operator.lt), (">", operator.gt)]
    ),
    st.floats(-1e9, 1e9),
    st.floats(-1e9, 1e9) | st.just(0.0),
    st.booleans(),
)
def test_a_relation_holds_exactly_where_its_violation_is_not_positive(
    relation: tuple[str, operator], a: float, b: float, same: bool
) -> None:
    symbol, holds = relation
    b = a if same else b
    violation = parse(f"a {symbol} b").violation({"a": a, "b": b})
    assert (violation <= 0) == holds(a, b)
    assert abs(violation) == pytest.approx(abs(a - b))


@given(st.floats(-1e9, 1e9), st.floats(-1e-6, 1e-6))
def test_an_equation_holds_within_its_tolerance(a: float, difference: float) -> None:
    b = a + difference
    violation = parse("a == b").violation({"a": a, "b": np.array([b])})
    assert (violation[0] <= 0) == (abs(a - b) <= EQUALITY_TOLERANCE * max(1, abs(a), abs(b)))


def test_an_undefined_relation_counts_as_broken() -> None:
    assert not parse("a / b <= 1").violation({"a": 0, "b": 0}) <= 0
    assert not np.any(parse("a / b <= 1").violation({"a": np.zeros(2), "b": 0}) <= 0)


@given(
    st.one_of(st.text(max_size=60), st.lists(st.sampled_from(GRAMMAR), max_size=40).map("".join)),
    st.booleans(),
)
def test_any_text_is_either_parsed_or_refused_with_a_column(text: str, functions: bool) -> None:
    try:
        expression = parse(text, functions=functions)
    except DefinitionError as error:
        assert error.message.startswith("column ")
        assert error.hint
        column = int(error.message.split()[1].rstrip(":"))
        assert 1 <= column <= len(text) + 1
    else:
        assert all(name in text and not name.startswith("__") for name in expression.names)


# How it refuses: what is wrong, at which column, and what to do


@pytest.mark.parametrize(
    ("text", "column", "what", "fix"),
    [
        ("", 1, "is empty", "for example"),
        ("  ", 1, "is empty", "for example"),
        ("a <=", 5, "ends where a number or a name should follow", "allowed are"),
        ("a +* b", 4, "* stands where a number or a name should be", "allowed are"),
        ("a <= b <= c", 8, "a second relation, <=, follows <=", "a constraint of its own"),
        ("a <= 1 and b <= 2", 8, "'and' is not part of the gramma", "a constraint of its own"),
        ("not a <= 1", 1, "'not' is not part of the gramma", "turn the relation round"),
        ("lambda x: x", 1, "'lambda' is not part of the gramma", "cannot be defined"),
        ("a = 1", 3, "= is not part of the gramma", "write =="),
        ("a != 1", 3, "!= is not expected", "only <= >= < > =="),
        ("a // 2 <= 1", 3, "// is not expected", "write /"),
        ("2a <= 1", 2, "'2a' is neither a number nor a name", "2 * a"),
        ("a b <= 1", 3, "an operator is missing before 'b'", "a * b"),
        ("2 (a)", 3, "an operator is missing before '('", "a * b"),
        ("(a <= 1)", 4, "<= stands inside parentheses", "compare whole sums"),
        ("(a + (b - 1) <= 1", 14, "<= stands inside parentheses", "compare whole sums"),
        ("(a + b", 1, "the parenthesis ( is never closed", "add the missing"),
        ("a) <= 1", 2, ") closes a parenthesis that was never opened", "remove it"),
        ("a, b", 2, ", is not expected", "allowed are"),
        ("a.b <= 1", 2, ". is not part of the grammar", "names have no parts"),
        ("().__class__", 2, ") stands where", "allowed are"),
        ("a.__class__ <= 1", 2, ". is not part", "names have no parts"),
        ("__class__ <= 1", 1, "'__class__' is not allowed as a name", "two underscores"),
        ("__import__('os')", 1, "'__import__(' calls a function", "allowed are"),
        ("f(a) <= 1", 1, "'f(' calls a function; constraints have no functions", "f * "),
        ("'a' <= 1", 1, "' is not part of the gramma", "text is not part"),
        ('"a" <= 1', 1, '" is not part of the grammar', "text is not part"),
        ("a[0] <= 1", 2, "[ is not part of the grammar", "round parentheses"),
        ("a^2 <= 1", 2, "^ is not part of the grammar", "x * x"),
        ("a ** 2 <= 1", 3, "powers (**) are not available in constraints", "x * x"),
        ("9**9**9", 2, "powers (**) are not available", "x * x"),
        ("1e400 <= a", 1, "the number 1e400 is too large", "1.8e308"),
        ("a <= 50 %", 9, "% is not part of the gramma", "percentages"),
        ("a ≤ 1", 3, "U+2264 (LESS-THAN OR EQUAL TO)", "write <="),
        ("a − 1 <= 0", 3, "U+2212 (MINUS SIGN)", "hyphen"),
        ("a \u00a0<= 1", 3, "U+00A0 (NO-BREAK SPACE)", "ordinary space"),
        ("a\x00 <= 1", 2, "U+0000 (a control character)", "allowed are"),
    ],
)
def test_a_refused_constraint_says_what_where_and_how_to_fix_it(
    text: str, column: int, what: str, fix: str
) -> None:
    error = refusal(text)
    assert error.message.startswith(f"column {column}: ")
    assert what in error.message
    assert error.hint is not None and fix in error.hint


@pytest.mark.parametrize(
    ("text", "column", "title"),
    [
        ("nі + 1 <= 2", 2, "CYRILLIC SMALL LETTER BYELORUSSIAN-UKRAINIAN I"),
        ("Νi <= 1", 1, "GREEK CAPITAL LETTER NU"),
        ("a + ａ <= 1", 5, "FULLWIDTH LATIN SMALL LETTER A"),
        ("é <= 1", 1, "LATIN SMALL LETTER E WITH ACUTE"),
    ],
)
def test_a_look_alike_letter_is_named_with_its_column(text: str, column: int, title: str) -> None:
    error = refusal(text)
    assert error.message.startswith(f"column {column}: U+")
    assert title in error.message
    assert error.hint is not None and "type the name again" in error.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("9**9**9", "a power of a power is ambiguous"),
        ("2**x", "the exponent of ** must be a number"),
        (f"a**{MAX_EXPONENT + 1}", "is too large"),
        ("a**-99999", "the exponent -99999 is too large"),
        ("eval(a)", "there is no function 'eval'"),
        ("exp(a, b)", "exp() takes one argument, not 2"),
        ("exp()", "exp() takes one argument, not 0"),
        ("max(a)", "max() takes at least 2 arguments, not 1"),
        ("exp(a", "is never closed"),
    ],
)
def test_a_refused_formula_says_what_is_wrong(text: str, what: str) -> None:
    assert what in refusal(text, functions=True).message


@pytest.mark.parametrize("opening", ["(", "-", "abs(", "-("])
def test_deep_nesting_is_refused_at_the_column_of_the_first_level_too_many(opening: str) -> None:
    error = refusal(opening * 50 + "a" + ")" * 50, functions=True)
    assert f"nested more than {MAX_DEPTH} levels" in error.message
    column = int(error.message.split()[1].rstrip(":"))
    levels = column * len(opening.replace("abs(", "(")) / len(opening)
    assert levels == pytest.approx(MAX_DEPTH + 1, abs=1)


def test_a_hundred_thousand_parentheses_are_refused_by_length_alone() -> None:
    error = refusal("(" * 100_000 + "a" + ")" * 100_000)
    assert f"has 200001 characters; at most {MAX_LENGTH}" in error.message
    assert error.message.startswith(f"column {MAX_LENGTH + 1}: ")


def test_too_many_operations_are_refused() -> None:
    error = refusal("+".join(["a"] * (MAX_OPERATIONS + 2)))
    assert f"more than {MAX_OPERATIONS} operations" in error.message
