// What was drawn from what: a part of the page whose data did not change is left alone.

import { byId, el, refill } from "./dom.js";

const memory = new Map();

/** Draw the charts again, e.g. at another width. */
export function forgetCharts() {
  for (const key of memory.keys()) if (key.endsWith("-chart")) memory.delete(key);
}

/** Fill the element `id` with what `draw` makes, where `inputs` are not those of last time. */
export function keep(id, inputs, draw) {
  const state = JSON.stringify(inputs);
  if (memory.get(id) === state) return;
  const made = typeof draw === "function" ? draw() : draw;
  refill(byId(id), made);
  memory.set(id, state);
}

/** The same for a chart, which also depends on the width it has. */
export function chart(id, inputs, draw, empty = "Nothing to draw yet.") {
  const node = byId(id);
  const width = Math.max(260, Math.floor(node.clientWidth));
  keep(id, [inputs, width], () => draw(width) ?? el("p", { class: "empty" }, empty));
}
