// Elements with their text. Nothing here takes markup: whatever a symbol or a reason holds, it stays text.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; children are nodes or text, attributes of null or false are left out. */
export const el = (tag, attributes = {}, ...children) =>
  filled(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const svg = (tag, attributes = {}, ...children) =>
  filled(document.createElementNS(SVG, tag), attributes, children);

/** A number of the service's answer: `path` names where it stands there, `text` is how it reads. */
export const figure = (path, value, text) => el("data", { value: value ?? "", "data-path": path }, text);

/** Exchange everything inside `node`. */
export const refill = (node, ...children) => node.replaceChildren(...children.flat(Infinity).filter(present));

/** Change text only where it differs, so that nothing flickers and a selection survives. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The same for what is shown at all. */
export function setHidden(node, hidden) {
  if (node.hidden !== hidden) node.hidden = hidden;
}

export const byId = (id) => document.getElementById(id);

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter(present));
  return node;
}

const present = (child) => child !== null && child !== undefined && child !== false && child !== "";
