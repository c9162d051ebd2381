// The page of all models, and of those that are trained again.

import { all, pageOf, post } from "./api.js";
import { breakable, copyable, h, moment, trouble } from "./dom.js";
import { ago, bytes, number } from "./format.js";
import { ListPage, rowButton } from "./listing.js";
import { Table } from "./table.js";

export const scoreCell = ({ score, metric }) =>
  (score === null ? "–" : h("span", {}, number(score), h("small", {}, metric ?? "")));

export const MODEL_COLUMNS = [
  { id: "id", title: "Model", text: true, value: (row) => row.id, cell: (row) => h("a", { href: pageOf("models", row.id) }, breakable(row.id)) },
  { id: "estimator", title: "Estimator", text: true, value: (row) => row.estimator ?? "–" },
  { id: "task", title: "Task", text: true, value: (row) => row.task ?? "–" },
  { id: "target", title: "Target", text: true, value: (row) => row.target ?? "–" },
  { id: "score", title: "Score", hint: "on rows that were held out; more is better", value: (row) => row.score, cell: scoreCell },
  { id: "size", title: "Size", value: (row) => row.size_bytes, cell: (row) => bytes(row.size_bytes) },
  { id: "made", title: "Made", value: (row) => Date.parse(row.created_at), cell: (row) => moment(row.created_at, ago(row.created_at)) },
];

const when = (row) => (!row.is_enabled ? "disabled" : row.is_daily ? "daily" : "on demand");

function retrainingColumns(place) {
  const train = (row) => rowButton("Train now", `Train ${row.name} now`, {
    place,
    act: () => post(`/retrainings/${encodeURIComponent(row.name)}/run`),
    done: ({ task_id }) => (location.hash = pageOf("jobs", task_id)),
  });
  return [
    { id: "name", title: "Name", text: true, value: (row) => row.name, cell: (row) => h("a", { href: pageOf("retrainings", row.name) }, breakable(row.name)) },
    { id: "dataset", title: "Dataset", text: true, value: (row) => row.dataset_path, cell: (row) => h("a", { href: pageOf("datasets", row.dataset_path) }, breakable(row.dataset_path)) },
    { id: "when", title: "Trained", text: true, value: when },
    { id: "champion", title: "In use", text: true, value: (row) => row.champion_id, cell: (row) => (row.champion_id ? h("a", { href: pageOf("models", row.champion_id) }, row.champion_id) : "none yet") },
    { id: "act", title: "Now", text: true, value: () => "", cell: train },
  ];
}

export async function modelsPage(root, { signal }) {
  const table = new Table({ label: "Models", columns: MODEL_COLUMNS, key: (row) => row.id, sort: { by: "made", down: true } });
  const problem = h("div");
  const again = new Table({
    label: "Models that are trained again", columns: retrainingColumns(problem), key: (row) => row.name, sort: { by: "name", down: false },
    nothing: "None. `materia model retraining add NAME DATASET` adds one.",
  });
  const page = new ListPage(root, {
    title: "Models", path: "/models", table, signal,
    empty: [
      h("p", { class: "lead" }, "No model yet. One is trained on a ", h("a", { href: "#/datasets" }, "dataset"), ":"),
      copyable("materia model train alloys.csv target=strength --wait"),
      h("p", { class: "muted" }, "or on what a campaign has measured:"),
      copyable("materia campaign train CAMPAIGN --objective OBJECTIVE --wait"),
    ],
    below: [
      h("h2", {}, "Trained again"),
      h("p", { class: "muted" }, "The daily job trains each of these on its dataset, and puts the new model to use only if it scores better on rows that neither has learnt from."),
      problem, again.element,
    ],
  });
  const readAgain = async () => {
    try {
      again.update(await all("/retrainings", signal));
    } catch (error) {
      if (!signal.aborted) problem.replaceChildren(trouble(error));
    }
  };
  await page.run(readAgain);
}
