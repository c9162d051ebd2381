// A small chart: axes with round ticks, lines, points that pointer and keyboard can visit.

import { h, s } from "./dom.js";
import { number } from "./format.js";

const HEIGHT = 320;
const EDGE = { top: 34, right: 18, bottom: 46 };
const REACH = 28;
const CROSS = "M-4-4 4 4M-4 4 4-4";
const STAR = "M0-8 2.1-2.9 7.6-2.5 3.4 1.1 4.7 6.5 0 3.5-4.7 6.5-3.4 1.1-7.6-2.5-2.1-2.9z";

function stepOf(low, high, about) {
  const rough = (high - low) / Math.max(1, about);
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
}

/** Round numbers between two bounds, about so many. */
export function ticks(low, high, about) {
  const step = stepOf(low, high, about);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, place) => Number(((first + place) * step).toPrecision(12)));
}

const shortened = (text) => (text.length > 14 ? `${text.slice(0, 13)}…` : text);

function span(values, { whole = false, from, exact = false } = {}) {
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (from !== undefined) low = Math.min(low, from);
  if (!Number.isFinite(low)) return [0, 1];
  if (low === high) {
    const room = Math.abs(low) * 0.05 || 0.5;
    [low, high] = [low - room, high + room];
  }
  if (exact) return [low, high];
  const room = whole ? 0.5 : (high - low) * 0.05;
  return [from === undefined ? low - room : low, high + room];
}

/**
 * Draws {x: {label, whole?, from?, exact?, ticks?, written?}, y: {label, …}, lines, bands?, cells?, points}.
 *
 * `ticks` are [[place, text]...] instead of round numbers, `written` turns a place into text. A band is
 * {points: [[x, low, high]...]}, a cell {x: [from, to], y: [from, to], strength, isAllowed, text}.
 *
 * A line is {class, points: [[x, y]...], stairs?: "x"|"y"}: stairs go along that axis first. A point
 * is {id, x, y, class, star?, bar?: [low, high], text: [title, ...lines]}.
 */
export class Chart {
  constructor(label, { onPick } = {}) {
    this.onPick = onPick;
    this.spec = { x: { label: "" }, y: { label: "" }, lines: [], points: [] };
    this.svg = s("svg", {
      tabindex: 0,
      role: "application",
      "aria-roledescription": "chart",
      "aria-label": `${label}. Arrow keys visit the points.`,
      keydown: (event) => this.#key(event),
      pointermove: (event) => this.#near(event),
      pointerleave: () => this.#visit(null),
      blur: () => this.#visit(null),
      click: () => this.active && this.onPick?.(this.active),
    });
    this.tip = h("div", { class: "tip", role: "status", hidden: true });
    this.element = h("div", { class: "chart" }, this.svg, this.tip);
    new ResizeObserver(() => this.#paint()).observe(this.element);
  }

  draw(spec) {
    this.spec = spec;
    this.#paint();
  }

  #paint() {
    const width = this.element.clientWidth;
    if (!width) return;
    const { x, y, lines, points, bands = [], cells = [] } = this.spec;
    const places = cells.length ? cells.flatMap((cell) => [[cell.x[0], cell.y[0]], [cell.x[1], cell.y[1]]]) : [
      ...points.map((p) => [p.x, p.y]), ...lines.flatMap((line) => line.points),
      ...bands.flatMap((band) => band.points.flatMap(([at, low, high]) => [[at, low], [at, high]])),
    ];
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.setAttribute("height", HEIGHT);
    if (!places.length) {
      this.#visit(null);
      this.svg.replaceChildren(s("text", { x: width / 2, y: HEIGHT / 2, "text-anchor": "middle" }, "nothing to show yet"));
      return;
    }
    const [x0, x1] = span(places.map(([value]) => value), x);
    let [y0, y1] = span(places.map(([, value]) => value), y);
    // Down and up to a tick, so that no point lies where the axis says nothing.
    const step = stepOf(y0, y1, 8);
    if (!y.exact) [y0, y1] = [Math.floor(y0 / step + 1e-9) * step, Math.ceil(y1 / step - 1e-9) * step];
    const marked = (axis, found) => axis.ticks ?? found.map((tick) => [tick, (axis.written ?? number)(tick)]);
    const yTicks = marked(y, ticks(y0, y1, y.exact ? 6 : (y1 - y0) / step)).map(([tick, text]) => [tick, shortened(text)]);
    const left = 16 + 7.2 * Math.max(...yTicks.map(([, text]) => text.length));
    const right = width - EDGE.right;
    const bottom = HEIGHT - EDGE.bottom;
    this.across = (value) => left + ((value - x0) / (x1 - x0)) * (right - left);
    this.up = (value) => bottom - ((value - y0) / (y1 - y0)) * (bottom - EDGE.top);
    let xTicks = ticks(x0, x1, Math.floor((right - left) / 70));
    if (x.whole) xTicks = xTicks.filter(Number.isInteger);
    xTicks = marked(x, xTicks);
    // Words that have no room are left out evenly; the tip of a point has them all.
    const longest = Math.max(...xTicks.map(([, text]) => shortened(text).length), 1);
    const every = Math.ceil((xTicks.length * (longest * 7.2 + 10)) / (right - left));
    if (x.ticks) xTicks = xTicks.filter((_, place) => place % every === 0);
    this.svg.replaceChildren(
      s("g", { class: "grid" },
        yTicks.map(([tick]) => s("line", { x1: left, x2: right, y1: this.up(tick), y2: this.up(tick) }))),
      s("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }),
      s("g", { class: "ticks" },
        xTicks.map(([tick, text]) => s("text", { x: this.across(tick), y: bottom + 18, "text-anchor": "middle" }, shortened(text))),
        yTicks.map(([tick, text]) => s("text", { x: left - 8, y: this.up(tick) + 4, "text-anchor": "end" }, text))),
      s("text", { class: "label", x: (left + right) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, x.label),
      s("text", { class: "label", x: 4, y: 16 }, y.label),
      ...cells.map((cell) => this.#cell(cell)),
      ...bands.map((band) => s("path", { class: "band", d: this.#band(band) })),
      ...lines.map((line) => s("path", { class: `line ${line.class}`, d: this.#path(line) })),
      ...points.map((point) => this.#mark(point)),
      (this.ring = s("circle", { class: "ring", r: 9, visibility: "hidden" })));
    if (this.active) this.#visit(points.find(({ id }) => id === this.active) ?? null);
  }

  #cell({ x: [x0, x1], y: [y0, y1], strength, isAllowed, text }) {
    const [left, top] = [this.across(x0), this.up(y1)];
    return s("rect", {
      class: isAllowed ? "cell" : "cell barred", x: left.toFixed(1), y: top.toFixed(1), "fill-opacity": (0.05 + 0.8 * strength).toFixed(3),
      width: (this.across(x1) - left + 0.3).toFixed(1), height: (this.up(y0) - top + 0.3).toFixed(1),
    }, s("title", {}, text));
  }

  #band({ points }) {
    const at = ([x, y]) => `${this.across(x).toFixed(1)} ${this.up(y).toFixed(1)}`;
    const border = [...points.map(([x, low]) => [x, low]), ...points.map(([x, , high]) => [x, high]).reverse()];
    return `M${border.map(at).join("L")}Z`;
  }

  #path({ points, stairs }) {
    return points.map(([x, y], place) => {
      const [across, up] = [this.across(x).toFixed(1), this.up(y).toFixed(1)];
      if (!place) return `M${across} ${up}`;
      if (stairs === "x") return `H${across}V${up}`;
      return stairs === "y" ? `V${up}H${across}` : `L${across} ${up}`;
    }).join("");
  }

  #mark(point) {
    const [cx, cy] = [this.across(point.x), this.up(point.y)];
    const ends = point.bar?.map((value) => Math.max(EDGE.top, Math.min(HEIGHT - EDGE.bottom, this.up(value))));
    const bar = ends && s("line", { class: "bar", x1: cx, x2: cx, y1: ends[0], y2: ends[1] });
    const outline = point.star ? STAR : point.class === "broken" ? CROSS : null;
    const mark = outline
      ? s("path", { class: `point ${point.class}`, d: outline, transform: `translate(${cx} ${cy})` })
      : s("circle", { class: `point ${point.class}`, cx, cy, r: 4, "fill-opacity": point.strength ?? null });
    return bar ? s("g", {}, bar, mark) : mark;
  }

  #visit(point) {
    this.active = point?.id ?? null;
    this.tip.hidden = !point;
    this.ring?.setAttribute("visibility", point ? "visible" : "hidden");
    if (!point) return;
    const [x, y] = [this.across(point.x), this.up(point.y)];
    this.ring.setAttribute("cx", x);
    this.ring.setAttribute("cy", y);
    const [title, ...lines] = point.text;
    this.tip.replaceChildren(h("strong", {}, title), ...lines.map((line) => h("div", {}, line)));
    const room = this.element.clientWidth - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, x - this.tip.offsetWidth / 2))}px`;
    const above = y - this.tip.offsetHeight - 14;
    this.tip.style.top = `${above > 0 ? above : y + 14}px`;
  }

  #near(event) {
    const box = this.svg.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    let best = null;
    let least = REACH;
    for (const point of this.spec.points) {
      const far = Math.hypot(this.across(point.x) - x, this.up(point.y) - y);
      if (far <= least) [best, least] = [point, far];
    }
    this.#visit(best);
  }

  #key(event) {
    const order = [...this.spec.points].sort((a, b) => a.x - b.x || a.y - b.y);
    if (!order.length) return;
    const at = order.findIndex(({ id }) => id === this.active);
    const next = {
      ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at < 0 ? 0 : at - 1, ArrowDown: at < 0 ? 0 : at - 1,
      Home: 0, End: order.length - 1,
    }[event.key];
    if (event.key === "Escape") this.#visit(null);
    else if (event.key === "Enter" && this.active) this.onPick?.(this.active);
    else if (next !== undefined) this.#visit(order[Math.max(0, Math.min(order.length - 1, next))]);
    else return;
    event.preventDefault();
  }
}
