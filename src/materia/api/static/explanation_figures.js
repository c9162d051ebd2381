// Predictions of a surrogate, as what a chart draws.

import { number, plusMinus, withUnit } from "./format.js";

const is = (value) => typeof value === "number";

/** Where values of a parameter lie on an axis: in a row if they are words, by their logarithm if it is declared so. */
function axisOf(parameter, values) {
  const label = withUnit(parameter.name, parameter.unit);
  if (!values.every(is)) {
    const every = [...new Set([...values, ...(parameter.choices ?? [])])];
    return { place: (value) => every.indexOf(value), axis: { label, ticks: every.map((value, at) => [at, String(value)]), whole: true } };
  }
  if (parameter.log_scale) {
    return { place: Math.log10, axis: { label, written: (place) => number(10 ** place, 3) } };
  }
  return { place: (value) => value, axis: { label } };
}

/** One parameter: mean, two standard deviations around it, and what was measured. */
export function slice({ values, predicted, is_allowed, measured, parameter }, objective, declared) {
  const { mean, std } = predicted[objective.name];
  const { place, axis } = axisOf(declared, values);
  const isRow = Boolean(axis.ticks);
  const low = mean.map((value, k) => value - 2 * std[k]);
  const high = mean.map((value, k) => value + 2 * std[k]);
  const told = measured.flatMap(({ id, values: [value], outcomes }) => {
    const y = outcomes[objective.name];
    if (!is(y)) return [];
    return [{ id, x: place(value), y, class: "told", strength: 0.45, text: [id, `${parameter} ${number(value)}`, `measured ${number(y)}`] }];
  });
  const points = isRow ? values.map((value, k) => ({
    id: `mean-${k}`, x: place(value), y: mean[k], bar: [low[k], high[k]], class: is_allowed[k] ? "front" : "proposed",
    text: [`${parameter} ${value}`, `predicted ${plusMinus(mean[k], std[k])}`, ...(is_allowed[k] ? [] : ["not allowed"])],
  })) : [];
  const curve = values.map((value, k) => [place(value), mean[k]]);
  const lines = isRow ? [] : [{ class: "barred", points: curve }, ...runs(curve, is_allowed).map((run) => ({ class: "front", points: run }))];
  const bands = isRow ? [] : [{ points: curve.map(([x], k) => [x, low[k], high[k]]) }];
  return { x: axis, y: { label: withUnit(objective.name, objective.unit) }, lines, bands, points: [...told, ...points] };
}

/** The parts of a curve that lie where points are allowed. */
function runs(curve, isAllowed) {
  const found = [[]];
  curve.forEach((point, k) => (isAllowed[k] ? found.at(-1).push(point) : found.push([])));
  return found.filter((run) => run.length > 1);
}

/** Two parameters: the mean as shades. */
export function contour({ values: [xs, ys], predicted, is_allowed, measured, parameters }, objective, [first, second]) {
  const { mean, std } = predicted[objective.name];
  const across = axisOf(first, xs);
  const up = axisOf(second, ys);
  const flat = mean.flat();
  const [low, high] = [Math.min(...flat), Math.max(...flat)];
  const [x, y] = [edges(xs.map(across.place)), edges(ys.map(up.place))];
  const cells = mean.flatMap((line, row) => line.map((value, column) => ({
    x: [x[column], x[column + 1]], y: [y[row], y[row + 1]], isAllowed: is_allowed[row][column],
    strength: high > low ? (value - low) / (high - low) : 0.5,
    text: `${parameters[0]} ${number(xs[column], 3)}, ${parameters[1]} ${number(ys[row], 3)}: ${plusMinus(value, std[row][column])}${is_allowed[row][column] ? "" : ", not allowed"}`,
  })));
  const points = measured.flatMap(({ id, values, outcomes }) => (is(outcomes[objective.name]) ? [{
    id, x: across.place(values[0]), y: up.place(values[1]), class: "over",
    text: [id, `${parameters[0]} ${number(values[0])}, ${parameters[1]} ${number(values[1])}`, `measured ${number(outcomes[objective.name])}`],
  }] : []));
  return { x: { ...across.axis, exact: true }, y: { ...up.axis, exact: true }, lines: [], cells, points, range: [low, high] };
}

/** Borders between neighbouring places, and the outer two. */
function edges(places) {
  const inner = places.slice(1).map((place, k) => (place + places[k]) / 2);
  const half = places.length > 1 ? (places[1] - places[0]) / 2 : 0.5;
  const last = places.length > 1 ? (places.at(-1) - places.at(-2)) / 2 : 0.5;
  return [places[0] - half, ...inner, places.at(-1) + last];
}

/** Every result against what the surrogate says when it has not seen it. */
export function leftOut(parity, objective) {
  const { measured = [], predicted = [], std = [] } = parity ?? {};
  const points = measured.map((value, k) => ({
    id: `left-out-${k}`, x: value, y: predicted[k], bar: [predicted[k] - 2 * std[k], predicted[k] + 2 * std[k]], class: "told", strength: 0.8,
    text: [`measured ${number(value)}`, `predicted ${plusMinus(predicted[k], std[k])}`],
  }));
  const both = [...measured, ...predicted];
  const diagonal = points.length ? [Math.min(...both), Math.max(...both)].map((value) => [value, value]) : [];
  const name = withUnit(objective.name, objective.unit);
  return { x: { label: `measured ${name}` }, y: { label: `predicted ${name}, ± 2 std` }, lines: [{ class: "diagonal", points: diagonal }], points };
}
