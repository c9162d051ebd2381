// The page of all jobs.

import { list, pageOf } from "./api.js";
import { breakable, chip, copyable, h, moment, trouble } from "./dom.js";
import { ago, between, duration } from "./format.js";
import { poll } from "./live.js";
import { Table } from "./table.js";

const EVERY_MS = 2000;
const STEP = 200;
const WHERE = "In the folder where materia up was started. Elsewhere add --data-dir with its data folder, or --server with this address and the key in MATERIA_API_KEY.";
const STATES = ["QUEUED", "RUNNING", "RETRYING", "SUCCEEDED", "FAILED", "CANCELLED", "QUARANTINED"];

export const shortTask = (task) => task.replace(/^tasks\./, "");

const COLUMNS = [
  { id: "task", title: "Task", text: true, value: (row) => shortTask(row.task), cell: (row) => h("a", { href: pageOf("jobs", row.id) }, breakable(shortTask(row.task))) },
  { id: "state", title: "State", text: true, value: (row) => row.state, cell: (row) => chip(row.state) },
  { id: "queue", title: "Queue", text: true, value: (row) => row.queue },
  { id: "priority", title: "Priority", value: (row) => row.priority },
  { id: "attempt", title: "Attempt", value: (row) => row.attempt },
  { id: "campaign", title: "Campaign", text: true, value: (row) => row.campaign_id, cell: ofCampaign },
  { id: "took", title: "Took", value: (row) => between(row.started_at, row.finished_at), cell: (row) => duration(between(row.started_at, row.finished_at)) },
  { id: "queued", title: "Queued", value: (row) => Date.parse(row.queued_at), cell: (row) => moment(row.queued_at, ago(row.queued_at)) },
];

function ofCampaign({ campaign_id, iteration }) {
  if (!campaign_id) return "–";
  const part = iteration === null ? "" : `, iteration ${iteration}`;
  return h("a", { href: pageOf("campaigns", campaign_id) }, `${campaign_id.slice(0, 8)}${part}`);
}

export async function jobsPage(root, { signal }) {
  let wanted = STEP;
  const table = new Table({
    label: "Jobs", columns: COLUMNS, key: (row) => row.id, sort: { by: "queued", down: true }, nothing: "No job is in this state.",
  });
  const filter = h("input", {
    type: "search", id: "filter", placeholder: "Filter  ( / )", "aria-label": "Filter jobs",
    input: () => table.filter(filter.value),
  });
  const state = h("select", { "aria-label": "State", change: () => read() },
    h("option", { value: "" }, "all states"), STATES.map((name) => h("option", { value: name }, name.toLowerCase())));
  const older = h("button", { type: "button", class: "quiet", hidden: true, click: () => { wanted += STEP; read(); } }, "Load older jobs");
  const count = h("span", { class: "muted", role: "status" });
  const problemPlace = h("div");
  const empty = h("div", { hidden: true }, h("p", { class: "lead" }, "No jobs yet. A campaign brings its own; one alone is submitted like this:"),
    copyable("materia job submit simple_tasks.ping"), h("p", { class: "muted" }, WHERE));
  root.replaceChildren(h("div", { class: "head" }, h("h1", {}, "Jobs"), count, state, filter), problemPlace, table.element, older, empty);

  async function read() {
    const asked = state.value;
    try {
      const { items, total, hasMore } = await list(asked ? `/jobs?state=${asked}` : "/jobs", wanted, signal);
      if (state.value !== asked) return;
      problemPlace.replaceChildren();
      count.textContent = `${total} in all`;
      older.hidden = !hasMore;
      empty.hidden = items.length > 0 || asked !== "";
      table.element.hidden = !empty.hidden;
      table.update(items);
    } catch (problem) {
      if (!signal.aborted) problemPlace.replaceChildren(trouble(problem));
    }
  }
  await poll(read, EVERY_MS, signal);
}
