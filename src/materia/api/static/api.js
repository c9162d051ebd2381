// The HTTP interface: the key, requests, and what a refusal says.

export const BASE = "/api/v1";
const STORED = "materia.key";

/** The key of this tab; kept no longer than the tab. */
export const key = () => sessionStorage.getItem(STORED);
export const keepKey = (text) => sessionStorage.setItem(STORED, text);
export const forgetKey = () => sessionStorage.removeItem(STORED);

/** Take a key from the address (#key=...) and remove it from there and from the history. */
export function takeKeyFromAddress() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!given) return;
  keepKey(given);
  history.replaceState(null, "", `${location.pathname}#/campaigns`);
}

/** A refusal of the server, or its silence (status 0). */
export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? body.title ?? `the server answered ${status}`);
    this.status = status;
    this.hint = body.hint ?? null;
    this.findings = body.findings ?? [];
  }
}

const silence = { detail: "The server does not answer.", hint: "Is `materia up` still running? This page goes on by itself." };

/** Send a request and return its JSON; throws Problem. */
export async function request(method, path, { body, type, signal } = {}) {
  const headers = { Accept: "application/json" };
  const used = key();
  if (used) headers.Authorization = `Bearer ${used}`;
  if (type) headers["Content-Type"] = type;
  if (method === "POST") headers["Idempotency-Key"] = unique();
  let response;
  try {
    response = await fetch(BASE + path, { method, headers, body, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, silence);
  }
  const content = await response.json().catch(() => ({}));
  if (response.ok) return content;
  // An answer to an earlier key says nothing about the one of now.
  if (response.status === 401 && used === key()) {
    document.dispatchEvent(new CustomEvent("key-refused", { detail: used ? content.detail : null }));
  }
  throw new Problem(response.status, content);
}

/** Fetch a file and hand it to the browser to keep; the key travels in a header, so a link cannot. */
export async function download(path) {
  const used = key();
  const response = await fetch(BASE + path, { headers: used ? { Authorization: `Bearer ${used}` } : {}, cache: "no-store" })
    .catch(() => { throw new Problem(0, silence); });
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => ({})));
  const [, name = "export"] = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "") ?? [];
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export const get = (path, signal) => request("GET", path, { signal });
export const post = (path, options) => request("POST", path, options);

// crypto.randomUUID is missing where the page came over plain HTTP from another machine.
const unique = () => [...crypto.getRandomValues(new Uint32Array(4))].map((part) => part.toString(16)).join("-");

const PAGE = 200;

/** Read pages of a list until there are so many items; says how many there are and whether more follow. */
export async function list(path, wanted, signal) {
  const items = [];
  let page = { next_cursor: "" };
  while (page.next_cursor !== null && items.length < wanted) {
    const query = new URLSearchParams({ limit: PAGE, ...(page.next_cursor && { cursor: page.next_cursor }) });
    page = await get(`${path}${path.includes("?") ? "&" : "?"}${query}`, signal);
    items.push(...page.items);
  }
  return { items, total: page.total, hasMore: page.next_cursor !== null };
}

export const all = async (path, signal) => (await list(path, Infinity, signal)).items;

/** The address of a campaign's or job's page; ids of jobs may be any text. */
export const pageOf = (noun, id) => `#/${noun}/${encodeURIComponent(id)}`;
