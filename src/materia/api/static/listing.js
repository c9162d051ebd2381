// A page with one list: filtered, sorted, read again now and then, and helpful when it is empty.

import { list } from "./api.js";
import { h, trouble } from "./dom.js";
import { poll } from "./live.js";

const EVERY_MS = 4000;
const STEP = 200;

export class ListPage {
  /** `empty` is shown instead of an empty table; `below` stands under the list. */
  constructor(root, { title, path, table, empty = [], below = [], actions = [], signal }) {
    Object.assign(this, { path, table, signal });
    this.wanted = STEP;
    this.filter = h("input", {
      type: "search", id: "filter", placeholder: "Filter  ( / )", "aria-label": `Filter ${title.toLowerCase()}`, hidden: true,
      input: () => table.filter(this.filter.value),
    });
    this.count = h("span", { class: "muted", role: "status" });
    this.older = h("button", { type: "button", class: "quiet", hidden: true, click: () => this.#more() }, "Load more");
    this.problem = h("div", {}, h("p", { class: "muted" }, "Loading…"));
    this.empty = h("div", { hidden: true }, empty);
    table.element.hidden = true;
    root.replaceChildren(h("div", { class: "head" }, h("h1", {}, title), this.count, this.filter, actions),
      this.problem, table.element, this.older, this.empty, ...below);
  }

  /** Read the list; what goes wrong stands above what was read before. */
  async read() {
    try {
      const { items, total, hasMore } = await list(this.path, this.wanted, this.signal);
      this.problem.replaceChildren();
      this.count.textContent = items.length ? `${total} in all` : "";
      this.older.hidden = !hasMore;
      this.empty.hidden = items.length > 0;
      this.filter.hidden = this.table.element.hidden = items.length === 0;
      this.table.update(items);
    } catch (problem) {
      if (!this.signal.aborted) this.problem.replaceChildren(trouble(problem));
    }
  }

  #more() {
    this.wanted += STEP;
    this.read();
  }

  /** Read now and then, until the page is left. */
  async run(also = () => {}) {
    await poll(() => Promise.all([this.read(), also()]), EVERY_MS, this.signal);
  }
}

/** A button of a row; what goes wrong is shown in `place`, where it worked `done` gets the answer. */
export function rowButton(title, label, { act, done, place }) {
  async function click(event) {
    const { target } = event;
    target.disabled = true;
    try {
      const answer = await act();
      place.replaceChildren();
      done(answer);
    } catch (problem) {
      place.replaceChildren(trouble(problem));
    } finally {
      target.disabled = false;
    }
  }
  return h("button", { type: "button", class: "quiet", "aria-label": label, click }, title);
}

/** Properties of one thing; those that are not known are left out. */
export function factList(pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}
