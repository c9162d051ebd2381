"use strict";

// Sorting: a click on a heading sorts by that column, a second one turns the order round.
// Cells without a value stay at the end either way.
function sortable(table) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead button").forEach((button) => {
    button.addEventListener("click", () => {
      const heading = button.closest("th");
      const column = heading.cellIndex;
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const isNumber = !heading.classList.contains("text");
      const rows = Array.from(body.rows);
      rows.sort((a, b) => {
        const [left, right] = [key(a), key(b)];
        if (left === "" || right === "") return (left === "") - (right === "");
        return sign * (isNumber ? left - right : left.localeCompare(right, undefined, { numeric: true }));
      });
      body.append(...rows);
    });
  });
}

document.querySelectorAll("table").forEach(sortable);

const onlyFront = document.getElementById("only-front");
if (onlyFront) {
  onlyFront.addEventListener("change", () => {
    document.querySelectorAll("#candidates tbody tr").forEach((row) => {
      row.hidden = onlyFront.checked && !row.classList.contains("front");
    });
  });
}

// Tooltips: a mark in a figure shows its candidate, and a click on it finds the row.
const tip = document.getElementById("tip");
const rowOf = (id) => document.querySelector(`#candidates tr[data-row="${CSS.escape(id)}"]`);

function mark(id, isOn) {
  document.querySelectorAll(`svg [data-id="${CSS.escape(id)}"]`).forEach((shape) => {
    shape.classList.toggle("marked", isOn);
  });
  rowOf(id)?.classList.toggle("marked", isOn);
}

function describe(id) {
  const row = rowOf(id);
  const headings = document.querySelectorAll("#candidates thead th");
  const lines = [id];
  headings.forEach((heading, i) => {
    const text = row.cells[i].textContent;
    if (heading.dataset.tip && text) lines.push(`${heading.dataset.tip}: ${text}`);
  });
  return lines.join("\n");
}

document.querySelectorAll("svg [data-id]").forEach((shape) => {
  const id = shape.dataset.id;
  shape.addEventListener("mouseenter", () => {
    mark(id, true);
    tip.textContent = describe(id);
    tip.hidden = false;
  });
  shape.addEventListener("mousemove", (event) => {
    const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const y = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8);
    tip.style.left = `${x}px`;
    tip.style.top = `${y}px`;
  });
  shape.addEventListener("mouseleave", () => {
    mark(id, false);
    tip.hidden = true;
  });
  shape.addEventListener("click", () => rowOf(id)?.scrollIntoView({ block: "center" }));
});
