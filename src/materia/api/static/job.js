// The page of one job.

import { all, get, pageOf, post } from "./api.js";
import { chip, confirmed, h, moment, say, trail, trouble } from "./dom.js";
import { between, clock, clockWithZone, duration, number, zone } from "./format.js";
import { shortTask } from "./jobs.js";
import { Follower } from "./live.js";

const FINAL = ["SUCCEEDED", "FAILED", "CANCELLED", "QUARANTINED"];
const AGAIN = ["FAILED", "CANCELLED", "QUARANTINED"];
const LOG_MS = 1500;
const KEPT_LINES = 1000;

export async function jobPage(root, { id, signal }) {
  const resource = `/jobs/${encodeURIComponent(id)}`;
  let job = null;
  let lastLine = 0;
  const view = elements(id);

  async function reload() {
    job = await get(resource, signal);
    draw();
    await readLog();
    return job.last_event;
  }

  async function readLog() {
    const lines = await all(`${resource}/log?after=${lastLine}`, signal);
    if (!lines.length) return;
    lastLine = lines.at(-1).number;
    const atEnd = view.log.scrollHeight - view.log.scrollTop - view.log.clientHeight < 40;
    view.log.append(...lines.map(({ time, level, text }) =>
      h("li", { class: level.toLowerCase() }, moment(time, clock(time)), h("span", {}, text))));
    while (view.log.childElementCount > KEPT_LINES) view.log.firstChild.remove();
    view.noLog.hidden = true;
    if (atEnd) view.log.scrollTop = view.log.scrollHeight;
  }

  function draw() {
    if (!root.contains(view.log)) root.replaceChildren(...view.all);
    say(view.title, shortTask(job.task));
    view.chip.replaceChildren(chip(job.is_cancel_requested && !FINAL.includes(job.state) ? "cancelling" : job.state));
    view.cancel.hidden = FINAL.includes(job.state) || job.is_cancel_requested;
    view.status.hidden = FINAL.includes(job.state);
    view.retry.hidden = !AGAIN.includes(job.state);
    const { progress } = job;
    view.progress.hidden = !progress || FINAL.includes(job.state);
    if (progress) {
      view.progress.replaceChildren(h("progress", { max: progress.total ?? 1, value: progress.total ? progress.done : null, "aria-label": "progress" }),
        h("span", {}, `${number(progress.done)}${progress.total ? ` / ${number(progress.total)}` : ""} ${progress.message}`),
        progress.eta_s !== null && h("span", { class: "muted" }, `about ${duration(progress.eta_s)} left`));
    }
    view.facts.replaceChildren(...facts(job).map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
    view.error.replaceChildren(...(job.error ? [trouble({ ...job.error, message: `${job.error.code}: ${job.error.message}` })] : []));
    say(view.args, JSON.stringify({ args: job.args, kwargs: job.kwargs }, null, 2));
    view.results.hidden = job.state !== "SUCCEEDED" && (job.result ?? null) === null;
    say(view.result, JSON.stringify(job.result, null, 2) ?? "null");
    document.title = `${shortTask(job.task)} · ${job.state.toLowerCase()} · MatCraft`;
  }

  const act = async (path) => {
    try {
      return await post(`${resource}/${path}`);
    } catch (problem) {
      view.error.replaceChildren(trouble(problem));
      return null;
    }
  };
  view.cancel.addEventListener("click", async () => {
    if (await confirmed("Cancel this job?", "A running job is asked first and ended after a grace period.", "Cancel job")) {
      job = (await act("cancel")) ?? job;
      draw();
    }
  });
  view.retry.addEventListener("click", async () => {
    const started = await act("retry");
    if (started) location.hash = pageOf("jobs", started.task_id);
  });

  root.replaceChildren(h("p", { class: "muted" }, "Loading…"));
  const timer = setInterval(() => job && !FINAL.includes(job.state) && readLog().catch(() => {}), LOG_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  await new Follower(resource, {
    reload,
    signal,
    onEvent: ({ type, data }) => {
      if (type !== "job_progress") return "reload";
      job.progress = data;
      draw();
      return undefined;
    },
    onStatus: (status) => {
      view.status.className = `status ${status}`;
      say(view.status, status === "live" ? "live" : "reconnecting…");
    },
  }).run();
}

function elements(id) {
  const found = {
    title: h("h1"),
    chip: h("span"),
    status: h("span", { class: "status", role: "status" }),
    cancel: h("button", { type: "button", class: "danger", hidden: true }, "Cancel"),
    retry: h("button", { type: "button", hidden: true }, "Run again"),
    progress: h("p", { class: "progress wide" }),
    facts: h("dl", { class: "facts" }),
    error: h("div"),
    noLog: h("p", { class: "muted" }, "The task has logged nothing."),
    log: h("ol", { class: "log", tabindex: 0, "aria-label": "Log, newest last" }),
    args: h("pre"),
    result: h("pre"),
  };
  found.results = h("section", {}, h("h2", {}, "Result"), found.result);
  found.all = [
    trail("Jobs", "#/jobs", id.slice(0, 8)),
    h("div", { class: "head" }, found.title, found.chip, found.status, found.retry, found.cancel),
    h("p", { class: "muted" }, h("code", {}, id)), found.error, found.progress, found.facts,
    h("h2", {}, "Log ", h("small", {}, `times in ${zone()}`)), found.noLog, found.log,
    h("h2", {}, "Arguments"), found.args, found.results,
  ];
  return found;
}

function facts(job) {
  return [
    ["Queue", job.queue],
    ["Priority", `${job.priority}`],
    ["Attempt", `${job.attempt}`],
    ["Worker", job.worker ?? "–"],
    ["Queued", moment(job.queued_at, clockWithZone(job.queued_at))],
    ["Waited", duration(between(job.queued_at, job.started_at))],
    ["Took", duration(between(job.started_at, job.finished_at))],
    ["Campaign", job.campaign_id ? h("a", { href: pageOf("campaigns", job.campaign_id) }, job.campaign_id.slice(0, 8)) : "–"],
  ];
}
