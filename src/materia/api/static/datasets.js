// The page of all datasets, and how one gets there.

import { pageOf, post } from "./api.js";
import { breakable, copyable, h, moment, trouble } from "./dom.js";
import { ago, bytes } from "./format.js";
import { ListPage } from "./listing.js";
import { Table } from "./table.js";

/** How many columns are of each type. */
function typesOf({ types }) {
  return types ? Object.entries(types).map(([type, n]) => `${n} ${type}`).join(", ") : "not looked into yet";
}

const COLUMNS = [
  { id: "path", title: "Path", text: true, value: (row) => row.path, cell: (row) => h("a", { href: pageOf("datasets", row.path) }, breakable(row.path)) },
  { id: "rows", title: "Rows", hint: "counted when it is sent or looked at", value: (row) => row.rows, cell: (row) => (row.rows === null ? "–" : row.rows.toLocaleString("en")) },
  { id: "columns", title: "Columns", value: (row) => row.n_columns, cell: (row) => row.n_columns ?? "–" },
  { id: "types", title: "Types", text: true, value: typesOf, cell: (row) => h("span", { class: "types" }, typesOf(row)) },
  { id: "kind", title: "Kind", text: true, value: (row) => row.kind },
  { id: "files", title: "Files", value: (row) => row.n_files },
  { id: "size", title: "Size", value: (row) => row.size_bytes, cell: (row) => bytes(row.size_bytes) },
  { id: "changed", title: "Changed", value: (row) => Date.parse(row.changed_at), cell: (row) => moment(row.changed_at, ago(row.changed_at)) },
];

export async function datasetsPage(root, { signal }) {
  const table = new Table({ label: "Datasets", columns: COLUMNS, key: (row) => row.path, sort: { by: "path", down: false } });
  const page = new ListPage(root, {
    title: "Datasets", path: "/datasets", table, signal,
    empty: [
      h("p", { class: "lead" }, "No dataset yet. Send a table here, or from a terminal:"),
      copyable("materia dataset add alloys.csv"),
      h("p", { class: "muted" }, "Files that are copied below the data root, which ", h("code", {}, "materia status"), " shows, appear here too."),
    ],
    below: [uploadForm()],
  });
  await page.run();
}

/** The form that sends a file; goes to the dataset once it is there. */
function uploadForm() {
  const file = h("input", { type: "file", id: "file", accept: ".csv,.gz,.parquet", required: true, change: () => propose() });
  const path = h("input", { id: "path", autocomplete: "off", spellcheck: "false", required: true, maxlength: 1024, placeholder: "alloys.csv" });
  const replace = h("input", { type: "checkbox", id: "replace" });
  const send = h("button", { type: "submit", class: "main" }, "Send");
  const answer = h("div", { role: "status" });
  const submit = async (event) => {
    event.preventDefault();
    const [chosen] = file.files;
    send.disabled = true;
    answer.replaceChildren(h("p", { class: "muted" }, `Sending ${bytes(chosen.size)}…`));
    try {
      const query = new URLSearchParams({ path: path.value.trim(), ...(replace.checked && { replace: "true" }) });
      const dataset = await post(`/datasets?${query}`, { body: chosen, type: "application/octet-stream" });
      location.hash = pageOf("datasets", dataset.path);
    } catch (problem) {
      answer.replaceChildren(trouble(problem));
    } finally {
      send.disabled = false;
    }
  };
  function propose() {
    if (file.files.length) path.value = file.files[0].name;
  }
  return h("form", { class: "upload", submit },
    h("h2", {}, "Send a table"),
    h("p", { class: "muted" }, "CSV, gzipped CSV or Parquet. It is looked at first, and appears whole or not at all."),
    h("div", { class: "fields" },
      h("div", {}, h("label", { for: "file" }, "File"), file),
      h("div", {}, h("label", { for: "path" }, "Path below the data root"), path),
      h("label", { class: "choice" }, replace, " replace another one"), send),
    answer);
}
