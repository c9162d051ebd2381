// A table that is sorted by its headers, filtered by text, and updated row by row.

import { h, say } from "./dom.js";

const STEP = 200;

/**
 * A column is {id, title, note?, hint?, text?: bool, value(row), cell(row)?, prepare(rows)?}: `value` is
 * what it sorts by, `cell` what it shows (text or an element), `prepare` sees all rows first.
 */
export class Table {
  constructor({ label, columns, key, sort, nothing, rowClass = () => "" }) {
    Object.assign(this, { columns, key, nothing, rowClass, sort });
    this.rows = [];
    this.shown = new Map();
    this.limit = STEP;
    this.words = "";
    this.heads = columns.map((column) => this.#head(column));
    this.body = h("tbody");
    this.more = h("button", { type: "button", class: "quiet", hidden: true, click: () => this.#showMore() });
    this.empty = h("p", { class: "muted", hidden: true });
    const table = h("table", { "aria-label": label }, h("thead", {}, h("tr", {}, this.heads)), this.body);
    this.element = h("div", { class: "table" },
      h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, table), this.empty, this.more);
  }

  /** Show these rows from now on. */
  update(rows) {
    this.rows = rows;
    this.#draw();
  }

  /** Show only rows that have all of these words somewhere. */
  filter(words) {
    this.words = words.trim().toLowerCase();
    this.#draw();
  }

  /** Bring a row into view and mark it. */
  reveal(key) {
    const place = this.#chosen().findIndex((row) => this.key(row) === key);
    if (place < 0) return;
    this.limit = Math.max(this.limit, place + 1);
    this.#draw();
    const { line } = this.shown.get(key);
    for (const marked of this.body.querySelectorAll(".marked")) marked.classList.remove("marked");
    line.classList.add("marked");
    line.scrollIntoView({ block: "nearest" });
  }

  #head(column) {
    const sorted = () => this.#sortBy(column);
    return h("th", { scope: "col", class: column.text ? "text" : null, "data-column": column.id, title: column.hint },
      h("button", { type: "button", click: sorted }, column.title),
      column.note && h("small", {}, column.note));
  }

  #sortBy(column) {
    const again = this.sort.by === column.id;
    this.sort = { by: column.id, down: again ? !this.sort.down : !column.text };
    this.#draw();
  }

  #showMore() {
    this.limit += STEP;
    this.#draw();
  }

  #chosen() {
    const column = this.columns.find(({ id }) => id === this.sort.by);
    const words = this.words.split(/\s+/).filter(Boolean);
    const found = words.length ? this.rows.filter((row) => this.#has(row, words)) : [...this.rows];
    const sign = this.sort.down ? -1 : 1;
    const values = new Map(found.map((row) => [row, column.value(row)]));
    return found.sort((a, b) => compare(values.get(a), values.get(b), sign));
  }

  #has(row, words) {
    const text = this.columns.map((column) => column.value(row)).join(" ").toLowerCase();
    return words.every((word) => text.includes(word));
  }

  #draw() {
    this.columns.forEach((column) => column.prepare?.(this.rows));
    const chosen = this.#chosen();
    const visible = chosen.slice(0, this.limit);
    visible.forEach((row, place) => this.#place(row, place));
    const kept = new Set(visible.map(this.key));
    for (const [key, { line }] of this.shown) {
      if (!kept.has(key)) {
        line.remove();
        this.shown.delete(key);
      }
    }
    this.heads.forEach((head, place) => {
      const is = this.columns[place].id === this.sort.by;
      if (is) head.setAttribute("aria-sort", this.sort.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.empty.hidden = visible.length > 0;
    say(this.empty, this.rows.length ? "No row has all of these words." : this.nothing);
    this.more.hidden = chosen.length <= this.limit;
    say(this.more, `Show more (${chosen.length - visible.length} left)`);
  }

  #place(row, place) {
    const key = this.key(row);
    const known = this.shown.get(key) ?? this.#newLine(key);
    this.columns.forEach((column, at) => {
      const shown = column.cell ? column.cell(row) : String(column.value(row) ?? "");
      // An element is made anew only when its value changes, so that focus stays where it is.
      const mark = typeof shown === "string" ? shown : `${column.value(row)} ${shown.textContent}`;
      if (known.marks[at] === mark) return;
      known.marks[at] = mark;
      known.line.cells[at].replaceChildren(shown);
    });
    const marked = known.line.classList.contains("marked");
    known.line.className = this.rowClass(row);
    known.line.classList.toggle("marked", marked);
    if (this.body.children[place] !== known.line) this.body.insertBefore(known.line, this.body.children[place]);
  }

  #newLine(key) {
    const cells = this.columns.map((column) => h("td", { class: column.text ? "text" : null }));
    const known = { line: h("tr", { "data-key": key }, cells), marks: [] };
    this.shown.set(key, known);
    return known;
  }
}

/** Compare two values; what is missing comes last in both directions. */
function compare(a, b, sign) {
  const missing = (value) => value === null || value === undefined || Number.isNaN(value);
  if (missing(a) || missing(b)) return missing(a) - missing(b);
  if (typeof a === "number" && typeof b === "number") return sign * (a - b);
  return sign * String(a).localeCompare(String(b), "en", { numeric: true });
}
