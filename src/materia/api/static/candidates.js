// The table of a campaign's candidates.

import { chip, h } from "./dom.js";
import { columnFormat, number } from "./format.js";
import { Table } from "./table.js";

const SOURCES = {
  "initial design": "initial design",
  ehvi: "expected hypervolume improvement",
  ei: "expected improvement",
};

function why({ source, acquisition }) {
  const name = SOURCES[source] ?? String(source ?? "–");
  return typeof acquisition === "number" ? `${name} ${number(acquisition, 3)}` : name;
}

function numeric(id, title, note, value) {
  let format = number;
  return {
    id, title, note, value,
    prepare: (rows) => { format = columnFormat(rows.map(value)); },
    cell: (row) => (typeof value(row) === "number" ? format(value(row)) : String(value(row) ?? "–")),
  };
}

function objectiveColumns({ name, unit }) {
  const expected = (row) => row.predicted?.[name];
  let format = number;
  return [
    numeric(`outcome-${name}`, name, unit, (row) => row.outcomes?.[name]),
    {
      id: `predicted-${name}`, title: "predicted", note: "± std", value: (row) => expected(row)?.mean,
      prepare: (rows) => { format = columnFormat(rows.map((row) => expected(row)?.mean)); },
      cell: (row) => (expected(row) ? `${format(expected(row).mean)} ± ${number(expected(row).std, 2)}` : "–"),
    },
  ];
}

export function candidateTable({ objectives, parameters }) {
  const columns = [
    { id: "id", title: "Candidate", text: true, value: (row) => row.id },
    { id: "front", title: "Front", text: true, value: (row) => (row.is_pareto ? 0 : 1), cell: (row) => (row.is_pareto ? "● front" : "") },
    ...objectives.flatMap(objectiveColumns),
    ...parameters.map(({ name, unit, type }) =>
      type === "categorical"
        ? { id: `param-${name}`, title: name, note: unit, text: true, value: (row) => String(row.params[name]) }
        : numeric(`param-${name}`, name, unit, (row) => row.params[name])),
    { id: "iteration", title: "Iteration", value: (row) => row.iteration },
    { id: "state", title: "State", text: true, value: (row) => row.state, cell: (row) => chip(row.state) },
    { id: "why", title: "Why", text: true, value: (row) => why(row.why), cell: (row) => h("span", { title: JSON.stringify(row.why) }, why(row.why)) },
  ];
  return new Table({
    label: "Candidates", columns, key: (row) => row.id, sort: { by: "id", down: true },
    nothing: "No candidate has been proposed yet.",
    rowClass: (row) => [row.is_pareto && "front", row.state].filter(Boolean).join(" "),
  });
}
