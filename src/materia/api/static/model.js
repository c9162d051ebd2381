// The page of one model: how well it does, from what, and its other versions.

import { get, list, pageOf, request } from "./api.js";
import { breakable, chip, confirmed, copyable, h, moment, trail, trouble } from "./dom.js";
import { bytes, clockWithZone, day, number } from "./format.js";
import { factList } from "./listing.js";
import { MODEL_COLUMNS } from "./models.js";
import { Table } from "./table.js";

const VERSIONS = 200;

export async function modelPage(root, { id, signal }) {
  const resource = `/models/${encodeURIComponent(id)}`;
  root.replaceChildren(h("p", { class: "muted" }, "Loading…"));
  const model = await get(resource, signal);
  const versions = await list(`/models?name=${encodeURIComponent(model.name)}`, VERSIONS, signal);
  const { training = {}, schema = {} } = model.card;
  const problem = h("div");
  const remove = h("button", { type: "button", class: "danger", click: () => deleteModel() }, "Delete");
  document.title = `${model.id} · MatCraft`;
  root.replaceChildren(
    trail("Models", "#/models", model.id),
    h("div", { class: "head" }, h("h1", {}, breakable(model.name)), model.in_use_for && chip("in use"), remove),
    h("p", { class: "muted" }, h("code", {}, model.id), model.in_use_for && ["; in use for ", h("a", { href: pageOf("retrainings", model.in_use_for) }, model.in_use_for)]),
    problem,
    factList([
      [`Score (${model.metric ?? "held out"})`, number(model.score)],
      ["Estimator", model.estimator],
      ["Task", model.task],
      ["Target", model.target],
      ["Rows", training.total_samples],
      ["Held out", training.n_held_out],
      ["Partitions", training.num_partitions],
      ["Size", bytes(model.size_bytes)],
      ["Made", moment(model.created_at, `${day(model.created_at)} ${clockWithZone(model.created_at)}`)],
      ["Job", h("a", { href: pageOf("jobs", model.job_id) }, model.job_id.slice(0, 8))],
    ]),
    ...(training.remarks ?? []).map((remark) => h("p", { class: "box" }, remark)),
    ...metrics(training),
    h("h2", {}, "What it learns from"), importances(schema.features ?? [], training.feature_importances ?? {}),
    h("h2", {}, "Predict"), copyable(`materia model predict ${model.id} FILE --wait`),
    ...(versions.items.length > 1 ? [h("h2", {}, `Versions of ${model.name}`), versionsTable(versions.items, model.id)] : []),
    h("details", {}, h("summary", {}, "Card of the model file"), h("pre", {}, JSON.stringify(model.card, null, 2)),
      h("p", { class: "muted" }, "SHA-256 ", h("code", {}, model.sha256))));

  async function deleteModel() {
    if (!(await confirmed("Delete this model?", `${model.id} and its file will be gone.`, "Delete model"))) return;
    try {
      await request("DELETE", resource);
      location.hash = "#/models";
    } catch (error) {
      problem.replaceChildren(trouble(error));
    }
  }
}

/** Every held-out figure, where there is more than the one that counts. */
function metrics(training) {
  const found = Object.entries(training.ensemble_metrics ?? {}).filter(([, value]) => typeof value === "number");
  return found.length > 1 ? [h("h2", {}, "On held-out rows"), factList(found.map(([name, value]) => [name, number(value)]))] : [];
}

/** Bars, the most important column first; a model that knows no importances has its columns only. */
function importances(features, known) {
  const rows = features.map(({ name, type }) => ({ name, type, importance: known[name] ?? null }));
  const largest = Math.max(...rows.map(({ importance }) => importance ?? 0), 1e-12);
  const bar = ({ name, importance }) => (importance === null ? "–"
    : h("span", { class: "progress" }, h("progress", { max: largest, value: Math.max(0, importance), "aria-label": `importance of ${name}` }), h("span", {}, number(importance, 3))));
  const table = new Table({
    label: "Columns", key: (row) => row.name, sort: { by: "importance", down: true }, nothing: "The file names no columns.",
    columns: [
      { id: "name", title: "Column", text: true, value: (row) => row.name },
      { id: "type", title: "Type", text: true, value: (row) => row.type },
      { id: "importance", title: "Importance", value: (row) => row.importance, cell: bar },
    ],
  });
  table.update(rows);
  return table.element;
}

function versionsTable(models, here) {
  const table = new Table({
    label: "Versions", columns: MODEL_COLUMNS, key: (row) => row.id, sort: { by: "made", down: true },
    rowClass: (row) => (row.id === here ? "front" : ""),
  });
  table.update(models);
  return table.element;
}
