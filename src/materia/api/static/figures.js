// The figures of a campaign, as what a chart draws.

import { costOf } from "./campaign_state.js";
import { number, plusMinus, withUnit } from "./format.js";

const goal = ({ direction, target }) =>
  target === null || target === undefined ? `${direction.slice(0, -3)}ise` : `target ${number(target)}`;
const axis = (objective) => ({ label: `${withUnit(objective.name, objective.unit)} – ${goal(objective)}` });

/** What a tooltip says of a candidate. */
function about(candidate, { objectives, parameters }) {
  const outcomes = objectives.map(({ name, unit }) => {
    const expected = candidate.predicted?.[name];
    const value = candidate.outcomes?.[name];
    const shown = value === null || value === undefined ? "" : ` ${number(value)}`;
    const predicted = expected ? ` (predicted ${plusMinus(expected.mean, expected.std)})` : "";
    return `${withUnit(name, unit)}:${shown}${predicted}`;
  });
  const params = parameters
    .filter(({ name }) => candidate.params[name] !== 0 && candidate.params[name] !== null)
    .map(({ name }) => `${name} ${number(candidate.params[name])}`);
  const broken = candidate.breaks?.length ? [`breaks ${candidate.breaks.join(", ")}`] : [];
  return [`${candidate.id}, iteration ${candidate.iteration}`, ...outcomes, ...broken, params.join(", ")];
}

const isBroken = ({ breaks }) => breaks?.length > 0;
const is = (value) => typeof value === "number";

/** Every two of several objectives. */
export const pairs = (objectives) =>
  objectives.flatMap((first, place) => objectives.slice(place + 1).map((second) => [first, second]));

/** Two objectives against each other: every candidate, the front, the best compromise. */
export function tradeOff(state, [first, second] = state.objectives) {
  const latest = Math.max(1, state.campaign.iteration);
  const points = [];
  for (const candidate of state.list) {
    const told = candidate.outcomes;
    const expected = candidate.state === "proposed" ? candidate.predicted : null;
    const x = told?.[first.name] ?? expected?.[first.name]?.mean;
    const y = told?.[second.name] ?? expected?.[second.name]?.mean;
    if (!is(x) || !is(y)) continue;
    const star = candidate.id === state.campaign.best?.id;
    const kind = star ? "best" : candidate.is_pareto ? "front" : isBroken(candidate) ? "broken" : told ? "told" : "proposed";
    const strength = kind === "told" ? 0.25 + (0.55 * candidate.iteration) / latest : null;
    points.push({ id: candidate.id, x, y, star, strength, class: kind, text: about(candidate, state) });
  }
  const order = { proposed: 0, broken: 1, told: 2, front: 3, best: 4 };
  points.sort((a, b) => order[a.class] - order[b.class]);
  const front = points.filter(({ id }) => state.candidates.get(id).is_pareto).map(({ x, y }) => [x, y]);
  front.sort((a, b) => a[0] - b[0]);
  const hasTarget = is(first.target) || is(second.target);
  // Up to the next point, what is reached is this point's value: the stairs of what is attained.
  const stairs = first.direction === "maximize" ? "y" : "x";
  // Seen along a third objective, points of the front lie behind each other and have no border.
  const lines = hasTarget || state.objectives.length > 2 ? [] : [{ class: "front", points: front, stairs }];
  return { x: axis(first), y: axis(second), lines, points };
}

/** One objective: the value of each evaluation, and the best so far. */
export function progress(state) {
  const [objective] = state.objectives;
  const cost = (value) => costOf(objective, value);
  const points = [];
  const best = [];
  for (const candidate of state.list) {
    const value = candidate.outcomes?.[objective.name];
    if (!is(value)) continue;
    const x = candidate.number + 1;
    const star = candidate.id === state.best?.id;
    const kind = star ? "best" : isBroken(candidate) ? "broken" : "told";
    points.push({ id: candidate.id, x, y: value, star, class: kind, strength: 0.7, text: about(candidate, state) });
    if (kind === "broken") continue;
    const before = best.at(-1);
    best.push([x, before && cost(before[1]) <= cost(value) ? before[1] : value]);
  }
  points.sort((a, b) => a.star - b.star);
  const lines = [{ class: "front", points: best, stairs: "x" }];
  return { x: { label: "evaluation", whole: true }, y: axis(objective), lines, points };
}

/** Hypervolume after each iteration. */
export function hypervolume(state) {
  const trace = state.trace.filter((entry) => is(entry.hypervolume));
  const points = trace.map((entry) => ({
    id: `iteration-${entry.iteration}`,
    x: entry.n_observations,
    y: entry.hypervolume,
    class: "front",
    text: [`Iteration ${entry.iteration}`, `${entry.n_observations} observations`,
      `hypervolume ${number(entry.hypervolume, 5)}`, `${entry.pareto_size} on the front`],
  }));
  const lines = [{ class: "front", points: points.map(({ x, y }) => [x, y]) }];
  return { x: { label: "observations", whole: true, from: 0 }, y: { label: "hypervolume – higher is better" }, lines, points };
}

/** What the surrogate expected of a candidate before it was evaluated, against what came out. */
export function predictions(state, objective) {
  const points = state.list.flatMap((candidate) => {
    const expected = candidate.predicted?.[objective.name];
    const value = candidate.outcomes?.[objective.name];
    if (!expected || !is(value)) return [];
    const bar = [expected.mean - 2 * expected.std, expected.mean + 2 * expected.std];
    return [{ id: candidate.id, x: value, y: expected.mean, bar, class: "told", strength: 0.8, text: about(candidate, state) }];
  });
  const values = points.flatMap(({ x, y }) => [x, y]);
  const diagonal = points.length ? [Math.min(...values), Math.max(...values)].map((value) => [value, value]) : [];
  const name = withUnit(objective.name, objective.unit);
  return { x: { label: `measured ${name}` }, y: { label: `predicted ${name}, ± 2 std` }, lines: [{ class: "diagonal", points: diagonal }], points };
}
