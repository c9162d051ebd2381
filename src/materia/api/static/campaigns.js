// The page of all campaigns.

import { list, pageOf } from "./api.js";
import { breakable, chip, h, moment, trouble } from "./dom.js";
import { ago, number } from "./format.js";
import { poll } from "./live.js";
import { howToSubmit } from "./submit.js";
import { Table } from "./table.js";

const EVERY_MS = 2000;
const STEP = 200;

const done = (row) => row.evaluations_completed + row.evaluations_failed;

function outcome({ hypervolume, best, definition }) {
  const [objective, ...others] = definition.objectives;
  if (others.length) return { value: hypervolume, of: "hypervolume" };
  return { value: best?.outcomes?.[objective.name], of: objective.name, unit: objective.unit };
}

function progress(row) {
  const text = `${done(row)} / ${row.budget}`;
  return h("span", { class: "progress" },
    h("progress", { max: row.budget, value: done(row), "aria-label": `${text} evaluations` }), h("span", {}, text));
}

function result(row) {
  const { value, of, unit } = outcome(row);
  if (value === null || value === undefined) return "–";
  return h("span", {}, number(value), h("small", {}, unit ? `${of} (${unit})` : of));
}

const COLUMNS = [
  { id: "name", title: "Name", text: true, value: (row) => row.name, cell: (row) => h("a", { href: pageOf("campaigns", row.id) }, breakable(row.name)) },
  { id: "id", title: "Id", text: true, value: (row) => row.id, cell: (row) => h("code", { title: row.id }, row.id.slice(0, 8)) },
  { id: "seed", title: "Seed", value: (row) => row.definition.optimizer.seed },
  { id: "evaluator", title: "Evaluator", text: true, value: (row) => row.definition.evaluator?.type ?? "–" },
  { id: "state", title: "State", text: true, value: (row) => row.state, cell: (row) => chip(row.state) },
  { id: "progress", title: "Evaluations", text: true, value: (row) => done(row) / row.budget, cell: progress },
  { id: "result", title: "Result", value: (row) => outcome(row).value, cell: result },
  { id: "iteration", title: "Iteration", value: (row) => row.iteration },
  {
    id: "started", title: "Started", value: (row) => Date.parse(row.started_at ?? row.created_at),
    cell: (row) => moment(row.started_at ?? row.created_at, ago(row.started_at ?? row.created_at)),
  },
];

export async function campaignsPage(root, { signal }) {
  let wanted = STEP;
  const table = new Table({
    label: "Campaigns", columns: COLUMNS, key: (row) => row.id, sort: { by: "started", down: true },
  });
  const filter = h("input", {
    type: "search", id: "filter", placeholder: "Filter  ( / )", "aria-label": "Filter campaigns",
    input: () => table.filter(filter.value),
  });
  const head = h("div", { class: "head" }, h("h1", {}, "Campaigns"), filter,
    h("a", { class: "button main", href: "#/new" }, "New campaign"));
  const older = h("button", { type: "button", class: "quiet", click: () => { wanted += STEP; read(); } }, "Load older campaigns");
  const place = h("div", {}, h("p", { class: "muted" }, "Loading…"));
  root.replaceChildren(head, place);
  let shown = null;

  const show = (kind, elements) => {
    // Nothing is put in place twice: what a person types or has focused stays.
    if (shown !== kind) place.replaceChildren(...elements());
    shown = kind;
  };
  async function read() {
    try {
      const { items, hasMore } = await list("/campaigns", wanted, signal);
      filter.hidden = head.lastChild.hidden = items.length === 0;
      if (!items.length) return show("empty", welcome);
      show("table", () => [table.element, older]);
      older.hidden = !hasMore;
      return table.update(items);
    } catch (problem) {
      return signal.aborted || show(problem.message, () => [trouble(problem)]);
    }
  }
  await poll(read, EVERY_MS, signal);
}

const welcome = () => [
  h("p", { class: "lead" }, "No campaign yet. Submit the first one, and it appears here as it runs."),
  howToSubmit(),
];

export function newCampaignPage(root) {
  root.replaceChildren(h("div", { class: "head" }, h("h1", {}, "New campaign")), howToSubmit());
}
