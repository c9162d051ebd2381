// Elements made in code: what is given as a child is text or an element, never markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  const shown = children.flat().filter((child) => child !== null && child !== undefined && child !== false);
  element.append(...shown);
  return element;
}

/** Make an HTML element; a function among the attributes listens to the event of that name. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** Make an SVG element. */
export function s(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Set the text of an element only when it changes, so that selections and readers are left alone. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A state as a coloured word; the colour never carries the meaning alone. */
export function chip(state) {
  return h("span", { class: `chip ${state.toLowerCase()}` }, state.toLowerCase());
}

/** A name that may be broken between its words. */
export const breakable = (name) => name.split(/(?<=[._-])/).flatMap((part) => [part, h("wbr")]);

/** A moment, relative and readable, with the full time on hover. */
export function moment(text, shown) {
  return h("time", { datetime: text, title: new Date(text).toLocaleString([], { dateStyle: "medium", timeStyle: "long" }) }, shown);
}

/** A sentence in which what stands between backticks is code. */
export const sentence = (text) => String(text).split("`").map((part, place) => (place % 2 ? h("code", {}, part) : part));

/** Where a page stands: the list that it belongs to, and its own name. */
export function trail(list, href, here) {
  return h("nav", { class: "trail", "aria-label": "Breadcrumb" }, h("a", { href }, list), h("span", { "aria-current": "page" }, here));
}

/** What went wrong, what to do about it, and a way to try again. */
export function trouble(problem, retry) {
  return h("div", { class: "box bad", role: "alert" },
    h("p", {}, h("strong", {}, sentence(problem.message))),
    problem.hint && h("p", {}, sentence(problem.hint)),
    retry && h("p", {}, h("button", { type: "button", click: retry }, "Try again")));
}

/** Ask before something that cannot be taken back; resolves to true or false. */
export function confirmed(question, detail, yes) {
  return new Promise((resolve) => {
    const dialog = h("dialog", { "aria-labelledby": "question" },
      h("h2", { id: "question" }, question),
      h("p", {}, detail),
      h("div", { class: "actions" },
        h("button", { type: "button", class: "quiet", autofocus: true, click: () => dialog.close() }, "Cancel"),
        h("button", { type: "button", class: "danger", click: () => dialog.close("yes") }, yes)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Ask for one value in a field; resolves to its text, or to null. */
export function asked(question, detail, label, field, yes) {
  return new Promise((resolve) => {
    let answer = null;
    const form = h("form", { submit: () => { answer = field.value; }, method: "dialog" },
      h("h2", { id: "question" }, question), h("p", {}, detail), h("label", { for: field.id }, label), field,
      h("div", { class: "actions" },
        h("button", { type: "button", class: "quiet", click: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: "main" }, yes)));
    const dialog = h("dialog", { "aria-labelledby": "question" }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    document.body.append(dialog);
    dialog.showModal();
    field.select();
  });
}

/** A line of text with a button that copies it. */
export function copyable(text) {
  const code = h("code", {}, text);
  const button = h("button", { type: "button", class: "quiet", click: copy }, "Copy");
  async function copy() {
    try {
      await navigator.clipboard.writeText(text);
      say(button, "Copied");
    } catch {
      // Without a secure origin a browser offers no clipboard: selected text can be copied by hand.
      getSelection().selectAllChildren(code);
      say(button, "Selected");
    }
    setTimeout(() => say(button, "Copy"), 2000);
  }
  return h("div", { class: "copyable" }, code, button);
}
