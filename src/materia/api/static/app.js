// Which page is shown, who may look, and what is the same on every page.

import { forgetKey, get, keepKey, key, takeKeyFromAddress } from "./api.js";
import { campaignPage } from "./campaign.js";
import { campaignsPage, newCampaignPage } from "./campaigns.js";
import { datasetPage } from "./dataset.js";
import { datasetsPage } from "./datasets.js";
import { h, trouble } from "./dom.js";
import { healthPage } from "./health.js";
import { jobPage } from "./job.js";
import { jobsPage } from "./jobs.js";
import { isAdmin, keysPage } from "./keys.js";
import { modelPage } from "./model.js";
import { modelsPage } from "./models.js";
import { retrainingPage } from "./retraining.js";
import { schedulePage, schedulesPage } from "./schedules.js";
import { workersPage } from "./workers.js";

const PAGES = [
  [/^#\/campaigns$/, campaignsPage, "Campaigns"],
  [/^#\/new$/, newCampaignPage, "New campaign"],
  [/^#\/campaigns\/([^/]+)$/, campaignPage, "Campaign"],
  [/^#\/jobs$/, jobsPage, "Jobs"],
  [/^#\/jobs\/([^/]+)$/, jobPage, "Job"],
  [/^#\/models$/, modelsPage, "Models"],
  [/^#\/models\/([^/]+)$/, modelPage, "Model"],
  [/^#\/retrainings\/([^/]+)$/, retrainingPage, "Model that is trained again"],
  [/^#\/datasets$/, datasetsPage, "Datasets"],
  [/^#\/datasets\/([^/]+)$/, datasetPage, "Dataset"],
  [/^#\/schedules$/, schedulesPage, "Schedules"],
  [/^#\/schedules\/([^/]+)$/, schedulePage, "Schedule"],
  [/^#\/workers$/, workersPage, "Workers"],
  [/^#\/health$/, healthPage, "Health"],
  [/^#\/keys$/, keysPage, "Keys"],
];
// Pages that belong to an entry of the navigation by another name.
const ALSO = { "#/campaigns": "#/new", "#/models": "#/retrainings/" };
const root = document.getElementById("main");
const keysLink = document.getElementById("keys");
let leave = new AbortController();

/** Show the way to the keys to those who may use it. */
async function showKeys() {
  try {
    keysLink.hidden = key() === null || !(await isAdmin());
  } catch {
    // The page itself says what is wrong.
    keysLink.hidden = true;
  }
}

async function show() {
  takeKeyFromAddress();
  const hash = location.hash || "#/campaigns";
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  for (const link of document.querySelectorAll(".top nav a")) {
    const href = link.getAttribute("href");
    const isHere = [href, ALSO[href] ?? href].some((start) => hash.startsWith(start));
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const [pattern, page, title] = PAGES.find(([one]) => one.test(hash)) ?? [];
  if (!page) {
    document.title = "No such page · MatCraft";
    root.replaceChildren(h("div", { class: "head" }, h("h1", {}, "There is no such page")),
      h("p", {}, h("code", {}, hash), " leads nowhere. Go to the ", h("a", { href: "#/campaigns" }, "campaigns"), " or the ", h("a", { href: "#/jobs" }, "jobs"), "."));
    return;
  }
  document.title = `${title} · MatCraft`;
  scrollTo(0, 0);
  try {
    const id = hash.match(pattern)[1];
    await page(root, { id: id && decodeURIComponent(id), signal });
  } catch (problem) {
    if (!signal.aborted) root.replaceChildren(trouble(problem, show));
  }
}

/** Ask for the key, and say where it is. */
function signIn({ detail }) {
  leave.abort();
  forgetKey();
  document.title = "Key needed · MatCraft";
  const field = h("input", { type: "password", id: "key", autocomplete: "off", required: true, "aria-describedby": "where" });
  const answer = h("div", { role: "status" }, detail && h("p", { class: "box bad" }, `Refused: ${detail}.`));
  const submit = async (event) => {
    event.preventDefault();
    keepKey(field.value.trim());
    try {
      await get("/campaigns?limit=1");
      show();
      showKeys();
    } catch (problem) {
      // A refused key has put a fresh form in this one's place.
      answer.replaceChildren(trouble(problem));
    }
  };
  root.replaceChildren(h("form", { class: "signin", submit },
    h("h1", {}, "This server asks for a key"),
    h("p", { id: "where" }, "Its admin makes one for you. On the machine where the stack runs, ", h("code", {}, "materia status --json"),
      " prints one as ", h("code", {}, "api_key"), ", and ", h("code", {}, "materia up --open"), " brings it along by itself."),
    h("label", { for: "key" }, "Key"), field,
    h("button", { type: "submit", class: "main" }, "Open"), answer));
  field.focus();
}

const THEMES = { auto: "dark", dark: "light", light: "auto" };
const themeButton = document.getElementById("theme");
const theme = () => document.documentElement.dataset.theme ?? "auto";

function showTheme() {
  const [sign, word] = { auto: ["◐", "Auto"], dark: ["●", "Dark"], light: ["○", "Light"] }[theme()];
  themeButton.replaceChildren(sign, h("span", {}, ` ${word}`));
  themeButton.setAttribute("aria-label", `Theme: ${theme()}. Press for ${THEMES[theme()]}.`);
}

themeButton.addEventListener("click", () => {
  const next = THEMES[theme()];
  if (next === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("materia.theme");
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("materia.theme", next);
  }
  showTheme();
});

document.querySelector(".skip").addEventListener("click", (event) => {
  // The address belongs to the pages; an anchor would change it.
  event.preventDefault();
  root.focus();
});

addEventListener("keydown", (event) => {
  const isTyping = event.target.matches?.("input, textarea, select");
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const filter = document.getElementById("filter");
  if (!filter) return;
  event.preventDefault();
  filter.focus();
});

document.addEventListener("key-refused", signIn);
addEventListener("hashchange", () => {
  show();
  // The link that was followed is gone with its page: go on from the top of the new one.
  root.focus({ preventScroll: true });
});
showTheme();
show();
showKeys();
