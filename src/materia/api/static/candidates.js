// The table of a campaign's candidates.

import { chip, h } from "./dom.js";
import { columnFormat, number, plusMinus } from "./format.js";
import { Table } from "./table.js";

const SOURCES = {
  ehvi: ["EHVI", "expected hypervolume improvement"],
  noisy_ehvi: ["noisy EHVI", "expected hypervolume improvement, averaged over what noise leaves uncertain"],
  parego: ["ParEGO", "expected improvement of a weighted distance"],
  ei: ["EI", "expected improvement"],
  noisy_ei: ["noisy EI", "expected improvement, averaged over what noise leaves uncertain"],
  pi: ["PI", "probability of improvement"],
  ucb: ["UCB", "confidence bound"],
  thompson: ["Thompson", "draw of the surrogate"],
};

/** What the column "Why" says, with the unit of its numbers. */
export function aboutWhy(objectives) {
  const units = objectives.map(({ unit }) => unit).filter(Boolean);
  const unit = units.length === objectives.length ? units.join(" · ") : "units of the objectives";
  return objectives.length > 1
    ? `Why a candidate was chosen: EHVI, the hypervolume that it was expected to add (${unit}), or the initial design.`
    : `Why a candidate was chosen: EI, by how much it was expected to beat the best so far (${unit}), or the initial design.`;
}

function why({ source, acquisition }, place = 0) {
  const name = SOURCES[source]?.[place] ?? String(source ?? "–");
  return typeof acquisition === "number" ? `${name} ${number(acquisition, 3)}` : name;
}

/** A column of numbers; `alike` are further values that are written in the same way. */
function numeric(id, title, note, value, alike = () => []) {
  let format = number;
  return {
    id, title, note, value,
    prepare: (rows) => { format = columnFormat(rows.flatMap((row) => [value(row), ...alike(row)])); },
    cell: (row) => (typeof value(row) === "number" ? format(value(row)) : String(value(row) ?? "–")),
  };
}

function objectiveColumns({ name, unit }) {
  const expected = (row) => row.predicted?.[name];
  return [
    numeric(`outcome-${name}`, name, unit, (row) => row.outcomes?.[name]),
    {
      id: `predicted-${name}`, title: "predicted", note: "± std", value: (row) => expected(row)?.mean,
      cell: (row) => (expected(row) ? plusMinus(expected(row).mean, expected(row).std) : "–"),
    },
  ];
}

export function candidateTable({ objectives, parameters, isConstrained }) {
  const kind = objectives.length > 1 ? "front" : "best";
  const broken = { id: "breaks", title: "Breaks", text: true, value: (row) => row.breaks.join(", ") || null, cell: (row) => (row.breaks.length ? `✕ ${row.breaks.join(", ")}` : "") };
  const columns = [
    { id: "id", title: "Candidate", text: true, value: (row) => row.id },
    { id: "front", title: kind[0].toUpperCase() + kind.slice(1), text: true, value: (row) => (row.is_pareto ? kind : null), cell: (row) => (row.is_pareto ? `● ${kind}` : "") },
    ...objectives.flatMap(objectiveColumns),
    ...(isConstrained ? [broken] : []),
    { id: "why", title: "Why", note: "expected gain", hint: aboutWhy(objectives), text: true, value: (row) => why(row.why), cell: (row) => h("span", { title: why(row.why, 1) }, why(row.why)) },
    ...parameters.map(({ name, unit, type, choices = [], parts = [] }) =>
      type === "categorical" && !choices.every((choice) => typeof choice === "number")
        ? { id: `param-${name}`, title: name, note: unit, text: true, value: (row) => (row.params[name] == null ? null : String(row.params[name])) }
        : numeric(`param-${name}`, name, unit, (row) => row.params[name], (row) => parts.map((part) => row.params[part.name]))),
    { id: "iteration", title: "Iteration", value: (row) => row.iteration },
    { id: "state", title: "State", text: true, value: (row) => row.state, cell: (row) => chip(row.state) },
  ];
  return new Table({
    label: "Candidates", columns, key: (row) => row.id, sort: { by: "id", down: true },
    nothing: "No candidate has been proposed yet.",
    rowClass: (row) => [row.is_pareto && "front", row.breaks.length && "broken", row.state].filter(Boolean).join(" "),
  });
}
