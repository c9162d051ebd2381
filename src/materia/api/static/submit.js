// Check a definition and run it, from the page.

import { pageOf, post } from "./api.js";
import { copyable, h, sentence, trouble } from "./dom.js";

const EXAMPLE = `# A coating that is hard and cheap: two objectives that pull apart.
name: my-first-campaign
parameters:
  - {name: thickness, type: continuous, bounds: [1, 10], unit: µm}
  - {name: flow, type: continuous, bounds: [0, 2], unit: sccm}
objectives:
  - {name: hardness, direction: maximize, unit: GPa}
  - {name: cost, direction: minimize, unit: EUR}
evaluator:
  type: expression
  options:
    hardness: "12 + 4 * log(thickness) - 3 * (flow - 1) ** 2"
    cost: "2 + 0.8 * thickness + flow ** 2"
optimizer: {budget: 40, batch_size: 4, seed: 1}
`;
const yaml = (text) => ({ body: text, type: "application/yaml" });

/** The form; goes to the campaign once it runs. */
export function submitForm() {
  const field = h("textarea", { id: "definition", rows: 16, spellcheck: "false", autocomplete: "off", "aria-describedby": "findings" });
  field.value = EXAMPLE;
  const answer = h("div", { id: "findings", "aria-live": "polite" });
  const buttons = ["Run", "Check"].map((title) =>
    h("button", { type: "submit", value: title, class: title === "Run" ? "main" : null }, title));
  const form = h("form", { submit }, h("label", { for: "definition" }, "Definition (YAML)"), field,
    h("div", { class: "actions" }, buttons), answer);

  async function submit(event) {
    event.preventDefault();
    const toRun = event.submitter?.value !== "Check";
    buttons.forEach((button) => (button.disabled = true));
    try {
      const { valid, findings } = await post("/campaigns/validate", yaml(field.value));
      answer.replaceChildren(report(valid, findings));
      if (!valid || !toRun) return;
      const started = await post("/campaigns/run", yaml(field.value));
      location.hash = pageOf("campaigns", started.campaign_id);
    } catch (problem) {
      answer.replaceChildren(problem.findings?.length ? report(false, problem.findings) : trouble(problem));
    } finally {
      buttons.forEach((button) => (button.disabled = false));
    }
  }

  function report(valid, findings) {
    const errors = findings.filter(({ level }) => level === "error").length;
    const title = !valid ? `${errors} ${errors === 1 ? "error" : "errors"} to repair`
      : findings.length ? "It can be run, with something to look at" : "Nothing is wrong with it";
    return h("div", { class: `box ${valid ? "good" : "bad"}` }, h("strong", {}, title),
      h("ul", { class: "findings" }, findings.map(finding)));
  }

  function finding({ level, path, line, message, fix }) {
    const place = line ? h("button", { type: "button", class: "link", click: () => select(line) }, `line ${line}`) : null;
    return h("li", {}, h("span", { class: `chip ${level}` }, level), " ", place, " ",
      path && h("code", {}, path), " ", sentence(message), fix && h("div", { class: "muted" }, sentence(fix)));
  }

  function select(line) {
    const lines = field.value.split("\n");
    const start = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    field.focus();
    field.setSelectionRange(start, start + (lines[line - 1] ?? "").length);
    field.scrollTop = Math.max(0, (line - 4) * parseFloat(getComputedStyle(field).lineHeight));
  }

  return form;
}

/** How to submit a campaign, for a server that has none yet and for who wants another. */
export function howToSubmit() {
  return h("div", { class: "ways" },
    h("section", {}, h("h2", {}, "From a terminal"),
      h("p", {}, "A campaign is a YAML file: what may vary, what counts, and how a candidate is evaluated."),
      copyable("materia run examples/alloy.yaml --server"),
      h("p", { class: "muted" }, "in the folder where materia up was started; where it was given a --data-dir, add the same here. From elsewhere, with the key of this server (", h("code", {}, "materia status --json"), " prints it):"),
      copyable(`MATERIA_API_KEY=… materia run examples/alloy.yaml --server ${location.origin}`),
      h("p", { class: "muted" }, "or without any server, in one process:"),
      copyable("materia run examples/alloy.yaml")),
    h("section", {}, h("h2", {}, "Or here"), submitForm()));
}
