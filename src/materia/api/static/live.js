// What happens, as it happens: a WebSocket that comes back, or a question now and then.

import { BASE, get, key } from "./api.js";

// Before the state is read anew, so that a burst of reasons to is one.
const SETTLE_MS = 100;
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8000;
const CHECK_MS = 20000;
const UNKNOWN = 4404;

/** Wait; shorter when the person comes back to the page or the network does. */
async function wait(ms, signal) {
  const over = new AbortController();
  await new Promise((resolve) => {
    setTimeout(resolve, ms);
    for (const name of ["online", "focus"]) addEventListener(name, resolve, { signal: over.signal });
    signal.addEventListener("abort", resolve, { signal: over.signal });
  });
  over.abort();
}

/**
 * Follow a campaign or job: read its state, then every event after it, each once.
 *
 * A lost connection is taken up again after the last number seen. When numbers are missing or the
 * server says resync, the state is read anew.
 */
export class Follower {
  /** `resource` is a path such as /campaigns/<id>; `reload(signal)` reads the state and returns its number. */
  constructor(resource, { reload, onEvent, onStatus, signal }) {
    Object.assign(this, { resource, reload, onEvent, onStatus, page: signal });
    this.last = 0;
    this.waitMs = FIRST_WAIT_MS;
  }

  async run() {
    do {
      this.interruption = new AbortController();
      this.signal = AbortSignal.any([this.page, this.interruption.signal]);
      this.stale = true;
      this.hasFailed = Promise.resolve(false);
      await this.#follow();
    } while ((await this.hasFailed) && !this.page.aborted);
  }

  /** Do what may end the thing that is followed: nothing is read meanwhile, nor after it unless it fails. */
  async without(act) {
    this.interruption.abort();
    const done = act();
    this.hasFailed = done.then(() => false, () => true);
    return done;
  }

  async #follow() {
    while (!this.signal.aborted) {
      try {
        if (this.stale) this.last = await this.reload(this.signal);
        this.stale = false;
        if (this.signal.aborted || (await this.#listen()) === UNKNOWN) return;
        if (this.stale) {
          await wait(SETTLE_MS, this.signal);
          continue;
        }
        // A key that is refused closes a WebSocket without a reason; a request says why.
        this.onStatus("reconnecting");
        await wait(this.waitMs * (0.75 + Math.random() / 2), this.signal);
        await get(this.resource, this.signal);
      } catch (error) {
        if (this.signal.aborted || error.status === 401) return;
        if (error.status === 404) throw error;
        // A key with characters that no subprotocol may have: what is left is to ask now and then.
        if (error.name === "SyntaxError") this.stale = true;
        this.onStatus("reconnecting");
        await wait(this.waitMs, this.signal);
      }
      this.waitMs = Math.min(2 * this.waitMs, LONGEST_WAIT_MS);
    }
  }

  /** Listen until the connection ends; resolves to its closing code. */
  #listen() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const address = `${scheme}//${location.host}${BASE}/ws${this.resource}?after=${this.last}`;
    const spoken = key() ? ["materia.v1", `materia.bearer.${key()}`] : ["materia.v1"];
    return new Promise((resolve) => {
      const socket = new WebSocket(address, spoken);
      const over = new AbortController();
      const check = setInterval(() => this.#check(socket), CHECK_MS);
      this.signal.addEventListener("abort", () => socket.close(), { signal: over.signal });
      socket.onopen = () => {
        this.waitMs = FIRST_WAIT_MS;
        this.onStatus("live");
      };
      socket.onmessage = (message) => {
        if (!this.stale && !this.signal.aborted) this.#take(JSON.parse(message.data));
        if (this.stale) socket.close();
      };
      socket.onclose = (event) => {
        clearInterval(check);
        over.abort();
        resolve(event.code);
      };
    });
  }

  #take(event) {
    if (event.type === "resync") {
      this.stale = true;
    } else if (event.type === "job_progress") {
      // Progress is not numbered: it carries the number of the event before it.
      this.onEvent(event);
    } else if (event.id === this.last + 1) {
      this.last = event.id;
      if (this.onEvent(event) === "reload") this.stale = true;
    } else if (event.id > this.last) {
      this.stale = true;
    }
  }

  /** A connection may be dead without anybody having said so. */
  async #check(socket) {
    const before = this.last;
    const found = await get(this.resource, this.signal).catch(() => null);
    if (found && found.last_event > before && this.last === before) {
      this.stale = true;
      socket.close();
    }
  }
}

/** Call a function now and every so often while the page is looked at, until the signal. */
export async function poll(call, intervalMs, signal) {
  while (!signal.aborted) {
    if (document.visibilityState === "visible") await call();
    if (!signal.aborted) await wait(intervalMs, signal);
  }
}
