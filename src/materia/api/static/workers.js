// The page of workers: who works, what waits for them, and the cluster that they compute on.

import { get, list, pageOf } from "./api.js";
import { breakable, chip, copyable, h, moment, trouble } from "./dom.js";
import { ago, duration, number } from "./format.js";
import { poll } from "./live.js";
import { Table } from "./table.js";

const EVERY_MS = 3000;
const MOST = 1000;
const STATES = ["online", "draining", "lost", "offline"];
const LIVE = ["online", "draining"];

const jobsOf = ({ jobs }) => (jobs.length ? h("span", {}, jobs.flatMap((id, place) => [place ? ", " : "", h("a", { href: pageOf("jobs", id) }, id.slice(0, 8))])) : "–");

const WORKERS = [
  { id: "name", title: "Worker", text: true, value: (row) => row.name, cell: (row) => h("span", {}, breakable(row.name)) },
  { id: "state", title: "State", text: true, value: (row) => STATES.indexOf(row.state), cell: (row) => h("span", { title: row.reason }, chip(row.state)) },
  { id: "busy", title: "Busy", value: (row) => row.running / row.concurrency, cell: (row) => `${row.running} of ${row.concurrency}`, hint: "jobs that it runs, of those that it can run at a time" },
  { id: "jobs", title: "Jobs", text: true, value: (row) => row.jobs.join(" "), cell: jobsOf },
  { id: "queues", title: "Queues", text: true, value: (row) => row.queues.join(", "), cell: (row) => h("span", { class: "reason" }, row.queues.join(", ")) },
  { id: "host", title: "Host", text: true, value: (row) => row.host ?? "", cell: (row) => (row.host ? h("span", {}, breakable(row.host), row.pid && h("small", {}, ` ${row.pid}`)) : "–") },
  { id: "device", title: "Device", text: true, value: (row) => row.device ?? "", cell: (row) => row.device ?? "–", hint: "that it fits surrogates on; without one the CPU" },
  { id: "heard", title: "Heard of", value: (row) => Date.parse(row.heartbeat_at), cell: (row) => moment(row.heartbeat_at, ago(row.heartbeat_at)) },
  { id: "versions", title: "Version", text: true, value: (row) => row.versions.materia ?? "", cell: (row) => h("span", { title: Object.entries(row.versions).map(([name, version]) => `${name} ${version}`).join(", ") }, row.versions.materia ?? "–") },
];

const byPriority = ({ priorities }) => priorities.map(({ priority, waiting }) => `${waiting} at ${priority}`).join(", ") || "–";

const QUEUES = [
  { id: "queue", title: "Queue", text: true, value: (row) => row.queue, cell: (row) => h("span", {}, breakable(row.queue)) },
  { id: "served", title: "State", text: true, value: (row) => (row.workers.length ? "served" : "not served"), cell: (row) => chip(row.workers.length ? "served" : row.waiting ? "waiting" : "not served") },
  { id: "waiting", title: "Waiting", value: (row) => row.waiting },
  { id: "oldest", title: "Oldest", value: (row) => row.oldest_s ?? -1, cell: (row) => (row.oldest_s === null ? "–" : duration(row.oldest_s)), hint: "how long the job has waited that waits longest" },
  { id: "priorities", title: "By priority", text: true, value: byPriority, hint: "9 is the most urgent" },
  { id: "running", title: "Running", value: (row) => row.running },
  { id: "workers", title: "Taken by", text: true, value: (row) => row.workers.join(", "), cell: (row) => h("span", { class: "reason" }, row.workers.join(", ") || "nobody") },
];

const NODES = [
  { id: "address", title: "Node", text: true, value: (row) => row.address },
  { id: "alive", title: "State", text: true, value: (row) => (row.alive ? "alive" : "gone"), cell: (row) => chip(row.alive ? "alive" : "gone") },
  { id: "cpus", title: "CPUs", value: (row) => row.cpus, cell: (row) => number(row.cpus) },
  { id: "reason", title: "Found", text: true, value: (row) => row.reason ?? "", cell: (row) => h("span", { class: "reason" }, row.reason ?? "") },
];

const noCluster = ({ configured, reasons }) => {
  if (configured === null) return "Not known yet: the regular check of health looks every five minutes.";
  if (!configured) return "None is configured: heavy work runs in processes of each worker's own machine.";
  return reasons.join("; ") || "It has no nodes.";
};

export async function workersPage(root, { signal }) {
  const workers = new Table({ label: "Workers", columns: WORKERS, key: (row) => row.id, sort: { by: "state", down: false }, nothing: "No worker matches." });
  const queues = new Table({ label: "Queues", columns: QUEUES, key: (row) => row.queue, sort: { by: "queue", down: false }, nothing: "Not known." });
  const nodes = new Table({ label: "Nodes of the cluster", columns: NODES, key: (row) => row.id ?? row.address, sort: { by: "address", down: false }, nothing: "" });
  const filter = h("input", { type: "search", id: "filter", placeholder: "Filter  ( / )", "aria-label": "Filter workers", input: () => workers.filter(filter.value) });
  const count = h("span", { class: "muted", role: "status" });
  const problemPlace = h("div", {}, h("p", { class: "muted" }, "Loading…"));
  const empty = h("div", { hidden: true }, h("p", { class: "lead" }, "No worker has been here. Jobs wait until one is; this starts one for all of them:"),
    copyable("materia worker"), h("p", { class: "muted" }, "With --role gpu, ml or data it takes only what that role is there for. materia up starts one by itself."));
  const without = h("p", { class: "muted" });
  const found = h("div", { hidden: true }, workers.element, empty, h("h2", {}, "Queues"), queues.element, h("h2", {}, "Ray cluster"), without, nodes.element);
  root.replaceChildren(h("div", { class: "head" }, h("h1", {}, "Workers"), count, filter), problemPlace, found);

  async function read() {
    try {
      const [known, { items }, cluster] = await Promise.all([list("/workers", MOST, signal), get("/queues", signal), get("/cluster", signal)]);
      problemPlace.replaceChildren();
      const living = known.items.filter(({ state }) => LIVE.includes(state));
      count.textContent = known.items.length ? `${living.length} alive, ${living.reduce((sum, { running }) => sum + running, 0)} of ${living.reduce((sum, { concurrency }) => sum + concurrency, 0)} processes busy` : "";
      empty.hidden = known.items.length > 0;
      filter.hidden = workers.element.hidden = known.items.length === 0;
      workers.update(known.items);
      queues.update(items);
      nodes.update(cluster.nodes);
      nodes.element.hidden = cluster.nodes.length === 0;
      without.hidden = cluster.nodes.length > 0;
      without.textContent = noCluster(cluster);
      found.hidden = false;
    } catch (problem) {
      if (!signal.aborted) problemPlace.replaceChildren(trouble(problem));
    }
  }
  await poll(read, EVERY_MS, signal);
}
