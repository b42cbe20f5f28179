// Small helpers to build and change the document. Text always goes in as text, never as markup,
// so nothing that comes out of the database can become an element.

/** Creates an element: `h("td", {class: "num", title: raw}, text, child)`. */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The element with this id; a page without it is broken, so that is an error. */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no element #${id}`);
  return element;
}

/** Sets the text only when it differs: an unchanged node costs no layout and keeps a selection. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const stillness = window.matchMedia("(prefers-reduced-motion: reduce)");

/** Lights an element up for a moment, unless the reader asked for less motion. */
export function flash(element) {
  if (stillness.matches) return;
  const colour = getComputedStyle(element).getPropertyValue("--flash").trim();
  element.animate([{ backgroundColor: colour }, { backgroundColor: "transparent" }], {
    duration: 1200,
    easing: "ease-out",
  });
}

/** Scrolls an element to the top, gliding there unless the reader asked for less motion. */
export function bringUp(element) {
  element.scrollIntoView({ behavior: stillness.matches ? "auto" : "smooth", block: "start" });
}

/**
 * Runs `draw` at most once per `interval` ms, on an animation frame, and always after the last call. A draw that
 * takes long is run less often, so that it never has more than a quarter of the page's time.
 */
export function throttled(draw, interval) {
  let next = -Infinity;
  let waiting = false;
  const run = () => {
    waiting = false;
    const start = performance.now();
    draw();
    const end = performance.now();
    next = Math.max(start + interval, end + 3 * (end - start));
  };
  return () => {
    if (waiting) return;
    waiting = true;
    const wait = Math.max(0, next - performance.now());
    // A hidden page gets no animation frames; the timer alone keeps its numbers right.
    setTimeout(() => (document.hidden ? run() : requestAnimationFrame(run)), wait);
  };
}

/** Copies text; `navigator.clipboard` exists only on https and localhost, so there is an older way too. */
export async function copyText(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Permission refused: the older way below may still be allowed.
    }
  }
  const area = h("textarea", { class: "offscreen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}

/** A command line with a button that copies it. */
export function copyLine(text) {
  const button = h("button", { type: "button", class: "quiet small" }, "Copy");
  button.addEventListener("click", async () => {
    setText(button, (await copyText(text)) ? "Copied" : "Select it");
    setTimeout(() => setText(button, "Copy"), 1500);
  });
  return h("div", { class: "copyline" }, h("code", null, text), button);
}

/** What a panel shows while it has nothing to show: a line, a reason, and a command to try. */
export function emptyState(title, detail, command) {
  return h(
    "div",
    { class: "empty" },
    h("p", { class: "empty-title" }, title),
    detail ? h("p", null, detail) : null,
    command ? copyLine(command) : null,
  );
}
