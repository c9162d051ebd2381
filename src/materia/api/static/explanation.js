// What the surrogate of a campaign has learnt: which parameters matter, along one, over two, how far it is right.

import { get } from "./api.js";
import { Chart } from "./chart.js";
import { h, say, trouble } from "./dom.js";
import { contour, leftOut, slice } from "./explanation_figures.js";
import { number, plusMinus, withUnit } from "./format.js";

const MOST_BARS = 8;

export class Explanation {
  /** Nothing is computed before the section is seen; `onPick` is told of a candidate that is chosen. */
  constructor({ campaign, objectives, parameters }, { onPick, signal }) {
    Object.assign(this, { objectives, parameters, signal });
    this.resource = `/campaigns/${encodeURIComponent(campaign.id)}`;
    this.declared = campaign.definition.parameters;
    this.found = null;
    this.status = h("p", { class: "muted", role: "status" }, "");
    this.problem = h("div");
    this.update = h("button", { type: "button", class: "quiet", hidden: true, click: () => this.#load() }, "Update");
    this.objective = select("objective", objectives.map(({ name }) => name), () => this.#objectiveChanged());
    const names = parameters.map(({ name }) => name);
    this.along = select("along", names, () => this.#drawSlice());
    this.first = select("first", names, () => this.#drawContour());
    this.second = select("second", names, () => this.#drawContour());
    this.bars = h("div", { class: "bars" });
    this.advice = h("p");
    this.quality = h("span", { class: "muted" });
    this.sliceChart = new Chart("Prediction along one parameter", { onPick });
    this.contourChart = new Chart("Prediction over two parameters", { onPick });
    this.parityChart = new Chart("Predicted without the point, against measured");
    this.sliceProblem = h("div");
    this.contourProblem = h("div");
    this.scale = h("span", { class: "muted" });
    this.shown = h("div", { hidden: true }, this.#figures(objectives.length > 1, names.length > 1));
    this.element = h("section", { class: "explanation" },
      h("div", { class: "head" }, h("h2", {}, "What was learnt"), this.update), this.status, this.problem, this.shown);
    const seen = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      seen.disconnect();
      this.#load();
    }, { rootMargin: "200px" });
    seen.observe(this.element);
    signal.addEventListener("abort", () => seen.disconnect());
  }

  #figures(hasSeveral, hasPairs) {
    const frame = (title, chart, ...others) => h("figure", {}, h("figcaption", {}, title, ...others), chart);
    return [
      this.advice,
      h("p", { hidden: !hasSeveral }, h("label", { class: "inline" }, "Objective ", this.objective)),
      h("div", { class: "figures even" },
        frame("What matters", this.bars, h("small", {}, "share of the outcome's variance that a parameter has a part in")),
        frame("Left out, point by point", this.parityChart.element, this.quality),
        frame(h("label", { class: "inline" }, "Along ", this.along), [this.sliceProblem, this.sliceChart.element],
          h("ul", { class: "legend" }, h("li", { class: "line" }, "predicted, ± 2 std"), h("li", { class: "told" }, "measured, elsewhere in the others"))),
        hasPairs && frame(h("span", {}, h("label", { class: "inline" }, "Over ", this.first), h("label", { class: "inline" }, " and ", this.second)),
          [this.contourProblem, this.contourChart.element], this.scale))];
  }

  /** Say when there are results that what is shown does not know. */
  heardOf(nTold) {
    if (!this.found) return;
    const fresh = nTold - this.found.n_results;
    this.update.hidden = fresh <= 0;
    say(this.update, `Update with ${fresh} new result${fresh === 1 ? "" : "s"}`);
  }

  async #load() {
    say(this.status, "Computing…");
    this.update.disabled = true;
    try {
      this.found = await get(`${this.resource}/explanation`, this.signal);
      this.problem.replaceChildren();
      this.update.hidden = true;
      this.shown.hidden = this.found.reason !== null;
      say(this.status, this.found.reason === null ? "" : this.#nothing());
      if (this.found.reason === null) this.#objectiveChanged({ isFirst: true });
    } catch (problem) {
      if (this.signal.aborted) return;
      say(this.status, "");
      this.problem.replaceChildren(trouble(problem, () => this.#load()));
    }
    this.update.disabled = false;
  }

  #nothing() {
    const { reason, needed } = this.found;
    return needed ? `Nothing to show yet: ${reason}. Come back when there are more.` : `Nothing to show: ${reason}.`;
  }

  get #chosen() {
    return this.objectives.find(({ name }) => name === this.objective.value) ?? this.objectives[0];
  }

  #objectiveChanged({ isFirst = false } = {}) {
    const { name } = this.#chosen;
    const known = this.found.importance[name] ?? {};
    const ranked = Object.entries(known).sort(([, a], [, b]) => b - a);
    this.#drawBars(ranked);
    const column = (parameter) => {
      const declared = this.declared.find((one) => one.name === parameter);
      return declared?.type === "composition" ? declared.parts[0].name : parameter;
    };
    if (isFirst && !this.wasChosen && ranked.length) {
      this.wasChosen = true;
      this.along.value = this.first.value = column(ranked[0][0]);
      this.second.value = column((ranked[1] ?? ranked[0])[0]);
      if (ranked.length === 1) this.second.selectedIndex = Math.min(1, this.second.options.length - 1);
    }
    const quality = this.found.quality[name];
    say(this.quality, quality ? `R² ${number(quality.r2, 2)} · ${Math.round(100 * quality.coverage_95)} % inside ± 2 std · rank correlation ${number(quality.rank_correlation, 2)}` : "");
    this.parityChart.draw(leftOut(this.found.parity[name], this.#chosen));
    this.#drawAdvice();
    this.#drawSlice();
    this.#drawContour();
  }

  #drawAdvice() {
    const { remaining } = this.found;
    this.advice.hidden = !remaining;
    if (!remaining) return;
    const [only, ...others] = this.objectives;
    const unit = others.length ? "of hypervolume" : only.unit ?? "";
    const said = remaining.advice === "stop"
      ? "That is little: further evaluations hardly pay." : "Going on may pay.";
    say(this.advice, `The surrogate expects that ${plusMinus(remaining.mean, remaining.std)} ${unit} can still be gained. ${said}`);
  }

  #drawBars(ranked) {
    const largest = Math.max(...ranked.map(([, value]) => value), 1e-12);
    if (!ranked.some(([, value]) => value > 0)) {
      this.bars.replaceChildren(h("p", { class: "muted" }, "As far as the surrogate knows, this outcome does not vary."));
      return;
    }
    const columns = new Map(this.declared.map(({ name, type, parts }) => [name, type === "composition" ? parts[0].name : name]));
    const bar = ([name, value]) => h("div", {},
      h("button", { type: "button", class: "link", title: `look along ${name}`, click: () => { this.along.value = columns.get(name); this.#drawSlice(); } }, name),
      h("progress", { max: largest, value, "aria-label": `importance of ${name}` }), h("span", {}, number(value, 2)));
    const more = ranked.slice(MOST_BARS);
    this.bars.replaceChildren(...ranked.slice(0, MOST_BARS).map(bar),
      ...(more.length ? [h("details", {}, h("summary", {}, `${more.length} more`), more.map(bar))] : []));
  }

  async #drawSlice() {
    const parameter = this.along.value;
    await this.#read(this.sliceProblem, `slice?${new URLSearchParams({ parameter })}`, () => this.along.value === parameter,
      (found) => this.sliceChart.draw(slice(found, this.#chosen, this.#declaredOf(parameter))));
  }

  async #drawContour() {
    const [first, second] = [this.first.value, this.second.value];
    if (this.parameters.length < 2) return;
    if (first === second) {
      this.contourProblem.replaceChildren(h("p", { class: "muted" }, "Choose two different parameters."));
      return;
    }
    await this.#read(this.contourProblem, `contour?${new URLSearchParams({ first, second })}`,
      () => this.first.value === first && this.second.value === second,
      (found) => {
        const drawn = contour(found, this.#chosen, [this.#declaredOf(first), this.#declaredOf(second)]);
        this.contourChart.draw(drawn);
        const [low, high] = drawn.range.map((value) => number(value, 3));
        say(this.scale, `${withUnit(this.#chosen.name, this.#chosen.unit)}: pale ${low}, full ${high}; grey is not allowed`);
      });
  }

  #declaredOf(name) {
    return this.parameters.find((one) => one.name === name);
  }

  /** Read and draw, unless something else has been chosen meanwhile. */
  async #read(place, path, isWanted, draw) {
    try {
      const found = await get(`${this.resource}/${path}`, this.signal);
      if (!isWanted()) return;
      place.replaceChildren();
      draw(found);
    } catch (problem) {
      if (!this.signal.aborted && isWanted()) place.replaceChildren(trouble(problem));
    }
  }
}

function select(id, names, change) {
  return h("select", { id: `explain-${id}`, change }, names.map((name) => h("option", { value: name }, name)));
}
