// The page of all schedules, and of one with its history.

import { get, list, pageOf, post } from "./api.js";
import { breakable, chip, copyable, h, moment, trail } from "./dom.js";
import { clockWithZone, day, duration } from "./format.js";
import { factList, ListPage, rowButton } from "./listing.js";
import { shortTask } from "./jobs.js";
import { Table } from "./table.js";

const SHOWN_RUNS = 200;
const pathOf = (id) => `/schedules/${encodeURIComponent(id)}`;
const timing = (row) => (row.crontab === null ? `every ${duration(row.interval_s)}` : `${row.crontab} ${row.timezone}`);
const due = (text) => moment(text, `${day(text)} ${clockWithZone(text)}`);

function columns(place, changed) {
  const toggle = (row) => (row.is_paused ? "resume" : "pause");
  const buttons = (row) => h("span", {},
    rowButton("Run now", `Run ${row.id} now`, { place, act: () => post(`${pathOf(row.id)}/run`), done: ({ task_id }) => (location.hash = pageOf("jobs", task_id)) }),
    " ",
    rowButton(row.is_paused ? "Resume" : "Pause", `${toggle(row)} ${row.id}`, { place, act: () => post(`${pathOf(row.id)}/${toggle(row)}`), done: changed }));
  return [
    { id: "id", title: "Schedule", text: true, value: (row) => row.id, cell: (row) => h("a", { href: pageOf("schedules", row.id) }, breakable(row.id)) },
    { id: "task", title: "Task", text: true, value: (row) => shortTask(row.task), cell: (row) => h("span", {}, breakable(shortTask(row.task))) },
    { id: "when", title: "When", text: true, value: timing },
    { id: "next", title: "Next", text: true, value: (row) => row.next_at ?? "never", cell: (row) => (row.is_paused ? chip("paused") : row.next_at ? due(row.next_at) : "never") },
    { id: "missed", title: "Missed times", text: true, value: (row) => row.missed, hint: "which due times fire later, when no scheduler was alive" },
    { id: "act", title: "Now", text: true, value: (row) => row.is_paused, cell: buttons },
  ];
}

export async function schedulesPage(root, { signal }) {
  const place = h("div");
  const table = new Table({
    label: "Schedules", key: (row) => row.id, sort: { by: "id", down: false }, columns: columns(place, () => page.read()),
  });
  const page = new ListPage(root, {
    title: "Schedules", path: "/schedules", table, signal, below: [place],
    empty: [h("p", { class: "lead" }, "No schedule. A task at its times is added like this:"), copyable('materia schedule add nightly simple_tasks.ping --cron "0 2 * * *"')],
  });
  await page.run();
}

export async function schedulePage(root, { id, signal }) {
  root.replaceChildren(h("p", { class: "muted" }, "Loading…"));
  const schedule = await get(pathOf(id), signal);
  const { items } = await list(`${pathOf(id)}/runs`, SHOWN_RUNS, signal);
  const runs = new Table({
    label: "Times that fired", key: (row) => row.job_id, sort: { by: "due", down: true }, nothing: "It has not fired yet.",
    columns: [
      { id: "due", title: "Due", text: true, value: (row) => row.due_at, cell: (row) => due(row.due_at) },
      { id: "fired", title: "Fired", text: true, value: (row) => row.fired_at, cell: (row) => due(row.fired_at) },
      { id: "job", title: "Job", text: true, value: (row) => row.job_id, cell: (row) => h("a", { href: pageOf("jobs", row.job_id) }, breakable(row.job_id)) },
    ],
  });
  runs.update(items);
  document.title = `${schedule.id} · MatCraft`;
  root.replaceChildren(
    trail("Schedules", "#/schedules", schedule.id),
    h("div", { class: "head" }, h("h1", {}, breakable(schedule.id)), schedule.is_paused && chip("paused")),
    factList([
      ["Task", shortTask(schedule.task)],
      ["When", timing(schedule)],
      ["Next", schedule.next_at ? due(schedule.next_at) : "never"],
      ["Missed times", schedule.missed],
      ["Queue", schedule.queue],
      ["Priority", schedule.priority],
      ["Expires", schedule.expires_at && due(schedule.expires_at)],
      ["Comes from", schedule.is_configured ? "celeryconfig.py" : schedule.requested_by],
    ]),
    h("h2", {}, "Arguments"), h("pre", {}, JSON.stringify(schedule.kwargs, null, 2)),
    h("h2", {}, "Times that fired"), runs.element);
}
