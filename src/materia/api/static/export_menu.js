// Export a campaign: choose a format, wait for the job, keep its file.

import { download, get, post } from "./api.js";
import { h, say, trouble } from "./dom.js";

const FORMATS = { csv: "Candidates as csv", xlsx: "Candidates as xlsx", parquet: "Candidates as parquet", json: "Candidates as json", html: "Report, a page with figures (html)" };
const FINAL = ["SUCCEEDED", "FAILED", "CANCELLED", "QUARANTINED"];
const PAUSE_MS = 500;

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));

export function exportMenu(id) {
  const format = h("select", { id: "format", "aria-label": "Format of the export" }, Object.entries(FORMATS).map(([name, title]) => h("option", { value: name }, title)));
  const button = h("button", { type: "button", id: "export", click: start }, "Download");
  const status = h("span", { id: "export-status", class: "muted", role: "status" });
  const problem = h("div");
  const element = h("div", {}, h("p", {}, format, " ", button, " ", status), problem);

  async function start() {
    button.disabled = true;
    problem.replaceChildren();
    try {
      await fetchExport();
    } catch (found) {
      say(status, "");
      problem.replaceChildren(trouble(found));
    }
    button.disabled = false;
  }

  async function fetchExport() {
    say(status, "waiting for a worker…");
    const body = JSON.stringify({ format: format.value });
    const { task_id: job } = await post(`/campaigns/${encodeURIComponent(id)}/export`, { body, type: "application/json" });
    const resource = `/jobs/${encodeURIComponent(job)}`;
    let now = await get(resource);
    while (!FINAL.includes(now.state)) {
      // Whoever has left the page does not want the file any more.
      if (!element.isConnected) return;
      if (now.progress) say(status, `${now.progress.message}: ${now.progress.done} of ${now.progress.total}`);
      await pause();
      now = await get(resource);
    }
    if (now.state !== "SUCCEEDED") throw { message: now.error?.message ?? `the export is ${now.state.toLowerCase()}`, hint: now.error?.hint };
    await download(`${resource}/file`);
    say(status, `${now.result.rows} candidates`);
  }

  return element;
}
