// The page of one campaign.

import { all, get } from "./api.js";
import { Actions } from "./campaign_actions.js";
import { aboutWhy, candidateTable } from "./candidates.js";
import { CampaignState, describe, isFinal } from "./campaign_state.js";
import { Chart } from "./chart.js";
import { Explanation } from "./explanation.js";
import { chip, copyable, h, moment, say, trail, trouble } from "./dom.js";
import { exportMenu } from "./export_menu.js";
import { hypervolume, pairs, predictions, progress, tradeOff } from "./figures.js";
import { between, clock, duration, number, withUnit, zone } from "./format.js";
import { Follower } from "./live.js";

const frontTitle = ({ length }, [first, second]) =>
  length > 2 ? `Pareto front: ${first.name} and ${second.name}` : "Pareto front";
const STATUS = { live: "live", reconnecting: "reconnecting…" };

export async function campaignPage(root, { id, signal }) {
  const resource = `/campaigns/${encodeURIComponent(id)}`;
  let view = null;
  let waiting = false;

  async function reload(following) {
    const campaign = await get(resource, following);
    const since = Math.max(0, campaign.last_event - 300);
    const [candidates, convergence, events] = await Promise.all([
      all(`${resource}/candidates`, following),
      get(`${resource}/convergence`, following),
      all(`${resource}/events?after=${since}`, following),
    ]);
    const state = new CampaignState(campaign, candidates, convergence.trace, events);
    if (!view) {
      view = new View(state, { signal, follower });
      root.replaceChildren(...view.elements);
    }
    view.state = state;
    draw();
    return campaign.last_event;
  }

  function draw() {
    if (waiting) return;
    waiting = true;
    // Many events at once are one drawing; the more there is to draw, the seldomer.
    setTimeout(() => {
      waiting = false;
      if (!signal.aborted) view.draw();
    }, Math.max(40, view.state.candidates.size / 5));
  }

  root.replaceChildren(h("p", { class: "muted" }, "Loading…"));
  const clockwork = setInterval(() => view?.drawTimes(), 1000);
  signal.addEventListener("abort", () => clearInterval(clockwork));
  const follower = new Follower(resource, {
    reload,
    signal,
    onEvent: (event) => {
      const answer = view.state.apply(event);
      draw();
      return answer;
    },
    onStatus: (status) => {
      if (view) view.connection = status;
      else if (status !== "live") root.replaceChildren(h("p", { class: "muted" }, "Waiting for the server…"));
    },
  });
  await follower.run();
}

class View {
  constructor(state, { signal, follower }) {
    const { campaign, objectives } = state;
    this.state = state;
    this.status = h("span", { class: "status", role: "status" });
    this.refusal = h("div");
    this.actions = new Actions(() => this.state, { place: this.refusal, follower });
    this.chip = h("span");
    this.bar = h("progress", { max: campaign.budget, "aria-label": "evaluations" });
    this.facts = h("dl", { class: "facts" });
    this.trouble = h("div");
    const reveal = (id) => this.table.reveal(id);
    const isSingle = objectives.length === 1;
    this.charts = isSingle
      ? [["Value of each evaluation", progress], ["Predicted before, measured after", (now) => predictions(now, objectives[0])]]
      : [
        ...pairs(objectives).map((pair) => [frontTitle(objectives, pair), (now) => tradeOff(now, pair)]),
        ["Hypervolume", hypervolume],
      ];
    this.charts = this.charts.map(([title, figure]) => ({ title, figure, chart: new Chart(title, { onPick: reveal }) }));
    this.table = candidateTable(state);
    this.explanation = new Explanation(state, { onPick: reveal, signal });
    this.log = h("ol", { class: "log", tabindex: 0, "aria-label": "Events, newest first" });
    this.elements = this.#elements(campaign, isSingle);
  }

  set connection(status) {
    this.status.className = `status ${status}`;
    say(this.status, STATUS[status]);
  }

  #elements({ id, name, definition }, isSingle) {
    const legend = isSingle
      ? [["told", "evaluation"], ["best", "best"], ["line", "best so far"]]
      : [["told", "candidate"], ["proposed", "being evaluated, at its prediction"], ["front", "front"], ["best", "best compromise"]];
    if (this.state.isConstrained) legend.push(["broken", `breaks ${definition.outcome_constraints.map(({ expression }) => expression).join(" or ")}`]);
    const filter = h("input", {
      type: "search", id: "filter", placeholder: "Filter  ( / )", "aria-label": "Filter candidates",
      input: () => this.table.filter(filter.value),
    });
    return [
      trail("Campaigns", "#/campaigns", name),
      h("div", { class: "head" }, h("h1", {}, name), this.chip, this.status, this.actions.elements),
      h("p", { class: "identity muted" }, h("code", {}, id), ` · seed ${definition.optimizer.seed} · evaluator ${definition.evaluator?.type ?? "none"}`),
      definition.description && h("p", { class: "description" }, definition.description),
      this.refusal, this.trouble, this.bar, this.facts,
      h("div", { class: "figures" }, this.charts.map(({ title, chart }, place) =>
        h("figure", {}, h("figcaption", {}, title,
          place === 0 && h("ul", { class: "legend" }, legend.map(([kind, text]) => h("li", { class: kind }, text)))), chart.element))),
      this.explanation.element,
      h("div", { class: "head" }, h("h2", {}, "Candidates"), filter),
      h("p", { class: "muted" }, aboutWhy(definition.objectives)), this.table.element,
      h("h2", {}, "Results as files"), exportMenu(id),
      h("p", { class: "muted" }, "The report with its figures as files, in the folder where materia up was started (elsewhere add --data-dir, or --server with the key in MATERIA_API_KEY):"),
      copyable(`materia campaign report ${id}`),
      h("h2", {}, "Events ", h("small", {}, `times in ${zone()}`)), this.log,
      h("details", {}, h("summary", {}, "Definition"), h("pre", {}, JSON.stringify(definition, null, 2))),
    ].filter(Boolean);
  }

  draw() {
    const { campaign } = this.state;
    if (this.chip.textContent !== campaign.state) this.chip.replaceChildren(chip(campaign.state));
    this.status.hidden = isFinal(campaign.state);
    this.actions.draw(campaign);
    this.bar.max = campaign.budget;
    this.bar.value = this.state.n_evaluated;
    for (const { figure, chart } of this.charts) chart.draw(figure(this.state));
    this.table.update(this.state.list);
    this.explanation.heardOf(this.state.n_evaluated - this.state.n_failed);
    this.trouble.replaceChildren(...(campaign.error ? [trouble(campaign.error)] : []));
    this.#drawLog();
    this.drawTimes();
    document.title = `${campaign.name} · ${campaign.state} · MatCraft`;
  }

  drawTimes() {
    const { best, campaign, objectives, n_evaluated, n_failed, n_front } = this.state;
    const elapsed = between(campaign.started_at, campaign.finished_at);
    const left = (elapsed / n_evaluated) * (campaign.budget - n_evaluated);
    const [first, ...others] = objectives;
    const facts = {
      Evaluations: `${n_evaluated} / ${campaign.budget}`,
      ...(n_failed ? { Failed: `${n_failed}` } : {}),
      ...(campaign.state === "completed" && n_evaluated < campaign.budget ? { Ended: "every possible candidate has been asked" } : {}),
      Iteration: `${campaign.iteration}`,
      ...(others.length
        ? { Hypervolume: number(campaign.hypervolume, 5), "On the front": `${n_front}` }
        : { [`Best ${withUnit(first.name, first.unit)}`]: number(best?.outcomes?.[first.name], 5) }),
      [isFinal(campaign.state) ? "Took" : "Elapsed"]: duration(elapsed),
      ...(campaign.state === "running" && n_evaluated > 2 ? { "About left": duration(left) } : {}),
    };
    const names = Object.keys(facts);
    if (this.shownFacts !== names.join()) {
      this.facts.replaceChildren(...names.map((name) => h("div", {}, h("dt", {}, name), h("dd"))));
      this.shownFacts = names.join();
    }
    names.forEach((name, place) => say(this.facts.children[place].lastChild, facts[name]));
  }

  #drawLog() {
    const newest = this.state.events.at(-1)?.id;
    if (newest === this.newest) return;
    this.newest = newest;
    const events = this.state.events.slice(-200).reverse();
    this.log.replaceChildren(...events.map((event) =>
      h("li", {}, moment(event.time, clock(event.time)), h("span", {}, describe(event, number)))));
  }
}
