// The page of one dataset: its columns, and what would be learnt from it.

import { get, request } from "./api.js";
import { breakable, confirmed, copyable, h, moment, trail, trouble } from "./dom.js";
import { bytes, clockWithZone, day, number } from "./format.js";
import { factList } from "./listing.js";
import { Table } from "./table.js";

export async function datasetPage(root, { id, signal }) {
  root.replaceChildren(h("p", { class: "muted" }, "Loading…"));
  const resource = `/datasets/${encodeURIComponent(id)}`;
  const dataset = await get(resource, signal);
  const problem = h("div");
  const remove = h("button", { type: "button", class: "danger", click: () => deleteDataset() }, "Delete");
  const { learning } = dataset;
  document.title = `${dataset.path} · MatCraft`;
  root.replaceChildren(
    trail("Datasets", "#/datasets", dataset.path),
    h("div", { class: "head" }, h("h1", {}, breakable(dataset.path)), dataset.is_upload && remove),
    problem,
    factList([
      ["Rows", dataset.rows === null ? "not counted: it is large" : dataset.rows.toLocaleString("en")],
      ["Rejected rows", dataset.rows_rejected || null],
      ["Columns", dataset.columns.length],
      ["Kind", dataset.n_files > 1 ? `${dataset.kind}, ${dataset.n_files} files` : dataset.kind],
      ["Size", bytes(dataset.size_bytes)],
      ["Changed", moment(dataset.changed_at, `${day(dataset.changed_at)} ${clockWithZone(dataset.changed_at)}`)],
      ["Would learn", learning.target && `${learning.target} (${learning.task})`],
    ]),
    ...learning.remarks.map((remark) => h("p", { class: "box" }, remark)),
    h("h2", {}, "Columns ", h("small", {}, `types and gaps of the first ${number(dataset.n_sampled)} rows`)),
    columns(dataset),
    h("h2", {}, "Use it"),
    copyable(`materia model train ${quoted(dataset.path)}${learning.target ? ` target=${quoted(learning.target)}` : ""} --wait`),
    copyable(`materia job submit data_tasks.process_large_csv file_path=${quoted(dataset.path)} output_path=out/processed.csv --wait`),
    dataset.sha256 && h("p", { class: "muted" }, "SHA-256 ", h("code", {}, dataset.sha256)),
    !dataset.is_upload && h("p", { class: "muted" }, "It was not sent to this server, so it cannot be deleted here."));

  async function deleteDataset() {
    if (!(await confirmed("Delete this dataset?", `${dataset.path} and its file will be gone.`, "Delete dataset"))) return;
    try {
      await request("DELETE", resource);
      location.hash = "#/datasets";
    } catch (error) {
      problem.replaceChildren(trouble(error));
    }
  }
}

/** A word of a command line. */
const quoted = (text) => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

function columns({ columns: found, learning }) {
  const role = (name) => (name === learning.target ? "target" : learning.features.includes(name) ? "feature" : "left out");
  const table = new Table({
    label: "Columns", key: (row) => row.place, sort: { by: "place", down: false }, nothing: "It has no columns.",
    columns: [
      { id: "place", title: "No.", value: (row) => row.place },
      { id: "name", title: "Column", text: true, value: (row) => row.name },
      { id: "type", title: "Type", text: true, value: (row) => row.type },
      { id: "missing", title: "Missing", value: (row) => row.n_missing },
      { id: "role", title: "In a training", text: true, hint: "if nothing else is said", value: (row) => role(row.name) },
    ],
  });
  table.update(found.map((column, place) => ({ ...column, place: place + 1 })));
  return table.element;
}
