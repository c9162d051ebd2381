// The page of keys, for admins: who may use this server, and who did what.

import { get, list, post } from "./api.js";
import { breakable, chip, confirmed, copyable, h, moment, trouble } from "./dom.js";
import { ago } from "./format.js";
import { ListPage, rowButton } from "./listing.js";
import { Table } from "./table.js";

const SHOWN_ENTRIES = 200;
const DAY_MS = 86_400_000;
const SCOPES = [["read", "look at work"], ["write", "also start and change it"], ["admin", "also keys, and everybody's work"]];
const when = (text, missing) => (text ? moment(text, ago(text)) : missing);
const until = (text) => (text ? moment(text, new Date(text).toLocaleDateString([], { dateStyle: "medium" })) : "never");

/** Whether the key of this page is an admin's. */
export async function isAdmin() {
  const { scopes } = await get("/api-keys/current");
  return scopes.includes("admin");
}

function columns(place, changed) {
  const revoke = async (row) => {
    const yes = await confirmed(`Revoke the key of ${row.name}?`, "It opens nothing from then on, and cannot be given back. Its work stays.", "Revoke");
    return yes ? post(`/api-keys/${encodeURIComponent(row.id)}/revoke`) : row;
  };
  return [
    { id: "name", title: "Name", text: true, value: (row) => row.name, cell: (row) => h("span", {}, breakable(row.name)) },
    { id: "prefix", title: "Begins", text: true, value: (row) => row.prefix, cell: (row) => h("code", {}, row.prefix) },
    { id: "scopes", title: "May", text: true, value: (row) => row.scopes.join(", ") },
    { id: "owner", title: "Owner", text: true, value: (row) => row.owner, hint: "keys of one owner share their work", cell: (row) => h("span", {}, breakable(row.owner)) },
    { id: "state", title: "State", text: true, value: (row) => row.state, cell: (row) => chip(row.state) },
    { id: "made", title: "Made", text: true, value: (row) => row.created_at, cell: (row) => when(row.created_at) },
    { id: "expires", title: "Expires", text: true, value: (row) => row.expires_at ?? "never", cell: (row) => until(row.expires_at) },
    { id: "used", title: "Last used", text: true, value: (row) => row.last_used_at ?? "", cell: (row) => when(row.last_used_at, "never") },
    { id: "act", title: "Now", text: true, value: (row) => row.state, cell: (row) => (row.state === "active"
      ? rowButton("Revoke", `Revoke ${row.name}`, { place, act: () => revoke(row), done: changed }) : "") },
  ];
}

export async function keysPage(root, { signal }) {
  const place = h("div");
  const table = new Table({
    label: "Keys", key: (row) => row.id, sort: { by: "made", down: true }, columns: columns(place, () => page.read()),
  });
  const entries = new Table({
    label: "Who did what", key: (row) => row.number, sort: { by: "time", down: true },
    nothing: "Nothing was changed or refused yet.", columns: ENTRIES,
  });
  const page = new ListPage(root, {
    title: "Keys", path: "/api-keys", table, signal,
    empty: [
      h("p", { class: "lead" }, "No key yet but the one of this server's settings. Make one for each person here, or from a terminal:"),
      copyable("materia keys create anna"),
    ],
    below: [place, newKeyForm(() => page.read()), h("h2", {}, "Who did what"), entries.element],
  });
  await page.run(async () => entries.update((await list("/api-keys/audit", SHOWN_ENTRIES, signal)).items));
}

const ENTRIES = [
  { id: "time", title: "When", text: true, value: (row) => row.time, cell: (row) => when(row.time) },
  { id: "name", title: "Key", text: true, value: (row) => row.name ?? "–", cell: (row) => h("span", {}, breakable(row.name ?? "–")) },
  { id: "address", title: "From", text: true, value: (row) => row.address ?? "–" },
  { id: "what", title: "What", text: true, value: (row) => `${row.method} ${row.path}`, cell: (row) => h("span", {}, `${row.method} `, breakable(row.path.replace(/^\/api\/v1/, ""))) },
  { id: "status", title: "Status", value: (row) => row.status },
  { id: "refused", title: "Refused", text: true, value: (row) => row.refused?.replace("_", " ") ?? "", cell: (row) => (row.refused
    ? `${row.refused.replace("_", " ")}${row.n_more ? `, ${row.n_more} more` : ""}` : "") },
];

/** The form that makes a key, and shows its secret until the page is left. */
function newKeyForm(done) {
  const name = h("input", { id: "key-name", autocomplete: "off", spellcheck: "false", required: true, maxlength: 128, placeholder: "anna-laptop" });
  const scope = h("select", { id: "key-scope" }, SCOPES.map(([value, says]) => h("option", { value, selected: value === "write" }, `${value}: ${says}`)));
  const owner = h("input", { id: "key-owner", autocomplete: "off", spellcheck: "false", maxlength: 128, placeholder: "as the name" });
  const days = h("input", { id: "key-days", type: "number", min: 1, max: 3660, placeholder: "never" });
  const make = h("button", { type: "submit", class: "main" }, "Make key");
  const answer = h("div", { role: "status" });
  const submit = async (event) => {
    event.preventDefault();
    make.disabled = true;
    const body = {
      name: name.value.trim(), scopes: [scope.value], owner: owner.value.trim() || null,
      expires_at: days.value ? new Date(Date.now() + Number(days.value) * DAY_MS).toISOString() : null,
    };
    try {
      const made = await post("/api-keys", { body: JSON.stringify(body), type: "application/json" });
      answer.replaceChildren(h("div", { class: "box good" },
        h("p", {}, h("strong", {}, `The key of ${made.name}. `), "It is shown this once and kept nowhere: hand it over now."),
        copyable(made.key)));
      event.target.reset();
      done();
    } catch (problem) {
      answer.replaceChildren(trouble(problem));
    } finally {
      make.disabled = false;
    }
  };
  return h("form", { class: "upload", submit },
    h("h2", {}, "Make a key"),
    h("p", { class: "muted" }, "People who share their work get keys of one owner. Datasets and models are everybody's."),
    h("div", { class: "fields" },
      h("div", {}, h("label", { for: name.id }, "Name"), name),
      h("div", {}, h("label", { for: scope.id }, "May"), scope),
      h("div", {}, h("label", { for: owner.id }, "Owner"), owner),
      h("div", {}, h("label", { for: days.id }, "Days until it expires"), days), make),
    answer);
}
