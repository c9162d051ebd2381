// The page of health: how every part is, and why one is not well.

import { get } from "./api.js";
import { breakable, chip, h, say, trouble } from "./dom.js";
import { ago, bytes, clockWithZone, number } from "./format.js";
import { poll } from "./live.js";
import { Table } from "./table.js";

const EVERY_MS = 5000;
const TITLES = {
  database: "Database", broker: "Broker (Redis)", scheduler: "Scheduler", workers: "Workers", cluster: "Ray cluster",
  disk: "Disk", check: "Regular check",
};

const STATUSES = ["not_configured", "not_checked", "healthy", "degraded", "unhealthy"];

/** What a healthy part has to tell. */
function told(name, part) {
  if (name === "workers") return `${part.workers?.length ?? 0} alive, ${(part.workers ?? []).reduce((sum, { processes }) => sum + processes, 0)} processes`;
  if (name === "cluster") return part.configured === null ? "not checked yet" : part.configured ? `${part.nodes.length} nodes` : "none is configured";
  if (name === "disk" && part.total_bytes) return `${bytes(part.free_bytes)} of ${bytes(part.total_bytes)} free on ${part.host}`;
  if (name === "check") return part.checked_at ? `last one ${ago(part.checked_at)}` : "none yet";
  return "answers";
}

const tables = () => ({
  parts: new Table({
    label: "Parts", key: (row) => row.name, sort: { by: "state", down: true }, nothing: "",
    columns: [
      { id: "name", title: "Part", text: true, value: (row) => TITLES[row.name] ?? row.name },
      { id: "state", title: "State", text: true, value: (row) => STATUSES.indexOf(row.status), cell: (row) => chip(row.status.replace("_", " ")) },
      { id: "said", title: "Found", text: true, value: (row) => row.said, cell: (row) => h("span", { class: "reason" }, row.said) },
    ],
  }),
  queues: new Table({
    label: "Queues", key: (row) => row.name, sort: { by: "name", down: false }, nothing: "Not known.",
    columns: [
      { id: "name", title: "Queue", text: true, value: (row) => row.name, cell: (row) => h("span", {}, breakable(row.name)) },
      { id: "fault", title: "State", text: true, value: (row) => (row.fault ? "at fault" : row.workers.length ? "served" : "not served"), cell: (row) => chip(row.fault ? "error" : row.workers.length ? "served" : "not served") },
      { id: "waiting", title: "Waiting", value: (row) => row.waiting },
      { id: "running", title: "Running", value: (row) => row.running },
      { id: "overdue", title: "Overdue", value: (row) => row.overdue, hint: "could have been taken for some time" },
      { id: "canary", title: "Canary", text: true, value: (row) => row.canary, hint: "a ping that travels through the queue at every check", cell: (row) => h("span", { class: "reason" }, row.fault ?? row.canary) },
    ],
  }),
  workers: new Table({
    label: "Workers", key: (row) => row.name, sort: { by: "name", down: false }, nothing: "No worker is alive. `materia up` starts some.",
    columns: [
      { id: "name", title: "Worker", text: true, value: (row) => row.name },
      { id: "processes", title: "Processes", value: (row) => row.processes },
      { id: "running", title: "Busy", value: (row) => row.running },
      { id: "queues", title: "Queues", text: true, value: (row) => row.queues.join(", "), cell: (row) => h("span", { class: "reason" }, row.queues.join(", ")) },
    ],
  }),
  nodes: new Table({
    label: "Nodes", key: (row) => row.id ?? row.address, sort: { by: "address", down: false }, nothing: "",
    columns: [
      { id: "address", title: "Node", text: true, value: (row) => row.address },
      { id: "alive", title: "State", text: true, value: (row) => (row.alive ? "alive" : "gone"), cell: (row) => chip(row.alive ? "alive" : "gone") },
      { id: "cpus", title: "CPUs", value: (row) => row.cpus, cell: (row) => number(row.cpus) },
      { id: "reason", title: "Found", text: true, value: (row) => row.reason ?? "", cell: (row) => h("span", { class: "reason" }, row.reason ?? "") },
    ],
  }),
});

export async function healthPage(root, { signal }) {
  const shown = tables();
  const status = h("span");
  const time = h("span", { class: "muted", role: "status" });
  const place = h("div", {}, h("p", { class: "muted" }, "Loading…"));
  const disk = h("div");
  const nodes = h("section", { hidden: true }, h("h2", {}, "Nodes of the cluster"), shown.nodes.element);
  const found = h("div", { hidden: true }, shown.parts.element, disk,
    h("h2", {}, "Queues"), shown.queues.element, h("h2", {}, "Workers"), shown.workers.element, nodes);
  root.replaceChildren(h("div", { class: "head" }, h("h1", {}, "Health"), status, time), place, found);

  function draw(report, counts) {
    const { parts } = report;
    status.replaceChildren(chip(report.status));
    say(time, `at ${clockWithZone(report.timestamp)}`);
    place.replaceChildren(...(report.reasons.length ? [h("div", { class: "box bad" }, h("ul", { class: "findings" }, report.reasons.map((reason) => h("li", {}, reason))))] : []));
    shown.parts.update(Object.entries(parts).map(([name, part]) => ({ name, status: part.status, said: part.reasons.join("; ") || told(name, part) })));
    const served = parts.workers?.queues ?? {};
    shown.queues.update(Object.entries(served).map(([name, queue]) => ({ name, waiting: 0, running: 0, ...queue, ...counts.get(name) })));
    shown.workers.update(parts.workers?.workers ?? []);
    shown.nodes.update(parts.cluster?.nodes ?? []);
    nodes.hidden = !parts.cluster?.nodes?.length;
    disk.replaceChildren(...(parts.disk?.total_bytes ? [usage(parts.disk)] : []));
    found.hidden = false;
  }

  async function read() {
    try {
      const [report, { items }] = await Promise.all([get("/health/cluster", signal), get("/queues", signal).catch(() => ({ items: [] }))]);
      draw(report, new Map(items.map(({ queue, waiting, running }) => [queue, { waiting, running }])));
    } catch (problem) {
      if (!signal.aborted) place.replaceChildren(trouble(problem));
    }
  }
  await poll(read, EVERY_MS, signal);
}

function usage({ free_bytes, total_bytes }) {
  const used = total_bytes - free_bytes;
  return h("p", { class: "progress wide" }, h("span", {}, "Disk"),
    h("progress", { max: total_bytes, value: used, "aria-label": "used disk" }), h("span", {}, `${bytes(used)} of ${bytes(total_bytes)} used`));
}
