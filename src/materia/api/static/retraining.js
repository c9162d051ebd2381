// The page of a model that is trained again: which model is in use, and how each training ended.

import { get, list, pageOf } from "./api.js";
import { breakable, chip, h, moment, trail } from "./dom.js";
import { clockWithZone, day, number } from "./format.js";
import { factList } from "./listing.js";
import { Table } from "./table.js";

const SHOWN_RUNS = 200;
const modelLink = (id) => (id ? h("a", { href: pageOf("models", id) }, breakable(id)) : "–");

const COLUMNS = [
  { id: "ended", title: "Ended", text: true, value: (row) => row.finished_at, cell: (row) => moment(row.finished_at, `${day(row.finished_at)} ${clockWithZone(row.finished_at)}`) },
  { id: "outcome", title: "Outcome", text: true, value: (row) => row.outcome, cell: (row) => chip(row.outcome) },
  { id: "champion", title: "In use", hint: "score of the model that was in use", value: (row) => row.champion_score, cell: (row) => number(row.champion_score) },
  { id: "challenger", title: "New", hint: "score of the new model on the same rows", value: (row) => row.challenger_score, cell: (row) => number(row.challenger_score) },
  { id: "rows", title: "Rows", value: (row) => row.n_rows },
  { id: "job", title: "Job", text: true, value: (row) => row.job_id, cell: (row) => h("a", { href: pageOf("jobs", row.job_id) }, row.job_id.slice(0, 8)) },
  { id: "reason", title: "Because", text: true, value: (row) => row.reason, cell: (row) => h("span", { class: "reason" }, row.reason) },
];

export async function retrainingPage(root, { id, signal }) {
  const resource = `/retrainings/${encodeURIComponent(id)}`;
  root.replaceChildren(h("p", { class: "muted" }, "Loading…"));
  const entry = await get(resource, signal);
  const { items } = await list(`${resource}/runs`, SHOWN_RUNS, signal);
  const runs = new Table({
    label: "Trainings", columns: COLUMNS, key: (row) => row.job_id, sort: { by: "ended", down: true }, nothing: "It has not been trained yet.",
  });
  runs.update(items);
  document.title = `${entry.name} · MatCraft`;
  root.replaceChildren(
    trail("Models", "#/models", entry.name),
    h("div", { class: "head" }, h("h1", {}, breakable(entry.name)), !entry.is_enabled && chip("disabled")),
    factList([
      ["Dataset", h("a", { href: pageOf("datasets", entry.dataset_path) }, entry.dataset_path)],
      ["In use", entry.champion_id ? modelLink(entry.champion_id) : "none yet"],
      ["Trained", entry.is_daily ? "daily" : "on demand"],
      ["Metric", entry.metric],
      ["Channel", entry.channel],
    ]),
    h("h2", {}, "Configuration"), h("pre", {}, JSON.stringify(entry.model_config, null, 2)),
    h("h2", {}, "Trainings"), runs.element);
}
