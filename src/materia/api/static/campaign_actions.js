// What can be done with a campaign: start, pause, resume, stop, extend, clone, delete.

import { post, request } from "./api.js";
import { isFinal } from "./campaign_state.js";
import { asked, confirmed, h, say, trouble } from "./dom.js";

const JSON_TYPE = "application/json";
const MOST = 10000;

export class Actions {
  /** `place` shows what goes wrong; the state is read anew at each use. */
  constructor(stateNow, { place, follower }) {
    Object.assign(this, { stateNow, place, follower });
    const button = (title, act, kind = "quiet") => h("button", { type: "button", class: kind, click: () => this.#tried(act) }, title);
    this.start = button("Start", () => post(`${this.#resource}/start`), "main");
    this.pause = button("Pause", () => this.#pauseOrResume());
    this.extend = button("Extend", () => this.#extend());
    this.clone = button("Clone", () => this.#clone());
    this.stop = button("Stop", () => this.#stop(), "danger");
    this.remove = button("Delete", () => this.#delete(), "danger");
    this.elements = [this.start, this.pause, this.extend, this.clone, this.stop, this.remove];
  }

  draw({ state, budget }) {
    this.start.hidden = state !== "created";
    this.stop.hidden = isFinal(state);
    this.pause.hidden = isFinal(state) || state === "created";
    this.remove.hidden = !isFinal(state);
    this.extend.hidden = ["created", "failed", "stopped"].includes(state) || budget >= MOST;
    say(this.pause, state === "paused" ? "Resume" : "Pause");
  }

  async #tried(act) {
    try {
      this.place.replaceChildren();
      await act();
    } catch (problem) {
      this.place.replaceChildren(trouble(problem));
    }
  }

  get #campaign() {
    return this.stateNow().campaign;
  }

  get #resource() {
    return `/campaigns/${encodeURIComponent(this.#campaign.id)}`;
  }

  async #pauseOrResume() {
    await post(`${this.#resource}/${this.#campaign.state === "paused" ? "resume" : "pause"}`);
  }

  async #stop() {
    const detail = `Nothing new is started. The ${this.stateNow().n_evaluated} evaluations so far are kept, and so are those that run now.`;
    if (await confirmed(`Stop ${this.#campaign.name}?`, detail, "Stop campaign")) await post(`${this.#resource}/stop`);
  }

  async #extend() {
    const { name, budget } = this.#campaign;
    const field = h("input", { type: "number", id: "budget", min: budget + 1, max: MOST, step: 1, required: true, value: Math.min(MOST, budget + Math.max(10, Math.round(budget / 2))) });
    const detail = `It has a budget of ${budget} evaluations. A campaign that has ended goes on.`;
    const chosen = await asked(`Extend ${name}`, detail, "Budget in all", field, "Extend campaign");
    if (chosen === null) return;
    const changed = await post(`${this.#resource}/extend`, { body: JSON.stringify({ budget: Number(chosen) }), type: JSON_TYPE });
    this.#campaign.budget = changed.budget;
    this.draw(this.#campaign);
  }

  async #clone() {
    const { name } = this.#campaign;
    const field = h("input", { id: "copy", maxlength: 128, pattern: "[A-Za-z0-9_\\-]+", title: "letters, digits, _ and -", required: true, autocomplete: "off", value: `${name}-2`.slice(-128) });
    const detail = "A campaign of the same definition starts at once, without the results of this one.";
    const chosen = await asked(`Clone ${name}`, detail, "Name of the copy", field, "Run copy");
    if (chosen === null) return;
    const definition = await post(`${this.#resource}/clone`, { body: JSON.stringify({ name: chosen }), type: JSON_TYPE });
    const started = await post("/campaigns/run", { body: JSON.stringify(definition), type: JSON_TYPE });
    location.hash = `#/campaigns/${encodeURIComponent(started.campaign_id)}`;
  }

  async #delete() {
    const { name } = this.#campaign;
    const detail = `Its ${this.stateNow().list.length} candidates and their results will be gone. Export them first if they may be needed.`;
    if (!(await confirmed(`Delete ${name}?`, detail, "Delete campaign"))) return;
    await this.follower.without(() => request("DELETE", this.#resource));
    location.hash = "#/campaigns";
  }
}
