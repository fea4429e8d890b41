// The newest decision of every symbol: one row a symbol that stays where it is while its cells change.

import { byId, el, figure, refill, setHidden, setText } from "./dom.js";
import { count, counted, duration, minute, number, percent } from "./format.js";
import { SIGNS } from "./words.js";

const RANK = { BUY: 0, SELL: 1, HOLD: 2 };
const COLUMNS = ["action", "confidence", "buy", "sell", "hold", "age", "source", "reason"];

/** What a column is sorted by; where two are equal, the more confident and then the name decides. */
const KEYS = {
  symbol: (item) => item.symbol,
  action: (item) => RANK[item.action] ?? 3,
  confidence: (item) => -(item.confidence ?? -1),
  hold: (item) => -(item.probabilities?.[0] ?? -1),
  buy: (item) => -(item.probabilities?.[1] ?? -1),
  sell: (item) => -(item.probabilities?.[2] ?? -1),
  age: (item) => -item.decided_ms,
  source: (item) => item.source,
  reason: (item) => item.reason,
};

/** Columns whose first click puts the largest number at the top. */
const LARGEST_FIRST = new Set(["confidence", "buy", "sell", "hold"]);

/** Rows drawn at once: beyond that a browser gets slow and nobody reads on; the filter finds the others. */
const MOST_ROWS = 500;

export class DecisionTable {
  constructor() {
    this.items = [];
    this.leftOut = 0;
    this.rows = new Map();
    this.sorting = { column: "action", turned: false };
    this.filter = { words: "", action: "" };
    this.body = byId("decisions-body");
    this.headings = new Map();
    for (const button of byId("decisions-head").querySelectorAll("button")) {
      this.headings.set(button.dataset.column, button.closest("th"));
      button.addEventListener("click", () => this.sortBy(button.dataset.column));
    }
    byId("filter-words").addEventListener("input", (event) => this.narrow({ words: event.target.value }));
    byId("filter-action").addEventListener("change", (event) => this.narrow({ action: event.target.value }));
    this.markSorting();
  }

  /** Take over what the service says now, but for `leftOut` symbols; `stale` are those whose bars stopped coming. */
  show(latest, leftOut, stale) {
    this.leftOut = leftOut;
    const waiting = new Set(stale);
    this.items = latest.map((item, at) => ({ ...item, at, stale: waiting.has(item.symbol) }));
    this.arrange();
    setHidden(byId("decisions"), latest.length === 0);
    setHidden(byId("decisions-empty"), latest.length > 0);
  }

  /** Write how long ago each decision was; `now` by the service's clock. */
  tick(now) {
    for (const { item, age } of this.rows.values()) setText(age, duration(now - item.decided_ms));
  }

  sortBy(column) {
    this.sorting = { column, turned: this.sorting.column === column && !this.sorting.turned };
    this.markSorting();
    this.arrange();
  }

  narrow(change) {
    this.filter = { ...this.filter, ...change };
    this.arrange();
  }

  /** Bring the wanted rows into order; a row that stays is not touched unless its decision changed. */
  arrange() {
    const wanted = this.items.filter((item) => this.wants(item)).sort(this.order());
    const shown = wanted.slice(0, MOST_ROWS);
    const kept = new Set(shown.map((item) => item.symbol));
    for (const [symbol, row] of this.rows) {
      if (kept.has(symbol)) continue;
      row.node.remove();
      this.rows.delete(symbol);
    }
    shown.forEach((item, place) => {
      const row = this.rows.get(item.symbol) ?? this.added(item.symbol);
      const state = JSON.stringify(item);
      if (row.state !== state) this.rewrite(row, item, state);
      const there = this.body.children[place] ?? null;
      if (there !== row.node) this.body.insertBefore(row.node, there);
    });
    setText(byId("filter-count"), this.countWords(wanted.length, shown.length));
  }

  wants(item) {
    const { words, action } = this.filter;
    const text = wordsOf(item);
    return (
      (!action || (action === "warning" ? item.warnings.length > 0 : item.action === action)) &&
      words
        .trim()
        .toLowerCase()
        .split(/\s+/)
        .every((word) => text.includes(word))
    );
  }

  order() {
    const { column, turned } = this.sorting;
    const by = KEYS[column];
    return (one, other) =>
      (turned ? -1 : 1) * compared(by(one), by(other)) ||
      compared(KEYS.confidence(one), KEYS.confidence(other)) ||
      compared(one.symbol, other.symbol);
  }

  countWords(wanted, shown) {
    const all = this.items.length;
    const found = wanted === all ? counted(all, "symbol") : `${count(wanted)} of ${counted(all, "symbol")}`;
    const first = shown < wanted ? `, the first ${count(shown)} shown` : "";
    return found + first + (this.leftOut ? `; ${count(this.leftOut)} more with older decisions left out` : "");
  }

  added(symbol) {
    const cells = Object.fromEntries(COLUMNS.map((name) => [name, el("td", { class: name, role: "cell" })]));
    const heading = el("th", { scope: "row", class: "symbol", role: "rowheader" });
    const age = el("span");
    cells.age.append(age);
    const row = {
      node: el("tr", { role: "row" }, heading, Object.values(cells)),
      heading,
      cells,
      age,
      state: "",
    };
    this.rows.set(symbol, row);
    return row;
  }

  rewrite(row, item, state) {
    const { cells } = row;
    const path = `latest.${item.at}`;
    const fresh = row.item && row.item.decided_ms !== item.decided_ms;
    Object.assign(row, { item, state });
    refill(row.heading, item.symbol, item.stale && el("span", { class: "tag" }, "stale"));
    refill(cells.action, signal(item.action));
    refill(cells.confidence, figure(`${path}.confidence`, item.confidence, percent(item.confidence)));
    for (const [name, index] of [
      ["hold", 0],
      ["buy", 1],
      ["sell", 2],
    ]) {
      const value = item.probabilities[index];
      refill(
        cells[name],
        el("span", { class: "short", "aria-hidden": "true" }, `${name} `),
        figure(`${path}.probabilities.${index}`, value, number(value, 3)),
      );
    }
    refill(cells.source, item.source);
    refill(
      cells.reason,
      item.reason,
      item.warnings.map((words) => el("span", { class: "caution" }, `Warning: ${words}`)),
    );
    cells.age.title = `bar of ${minute(item.bar_ms)} UTC, decided ${minute(item.decided_ms)} UTC`;
    row.node.classList.remove("fresh");
    if (fresh) requestAnimationFrame(() => row.node.classList.add("fresh"));
  }

  markSorting() {
    for (const [column, heading] of this.headings) {
      const chosen = column === this.sorting.column;
      const falling = LARGEST_FIRST.has(column) !== this.sorting.turned;
      if (chosen) heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    }
  }
}

function signal(action) {
  const style = Object.hasOwn(RANK, action) ? action.toLowerCase() : "";
  const sign = el("span", { class: "sign", "aria-hidden": "true" }, SIGNS[action] ?? "?");
  return el("span", { class: `action ${style}` }, sign, action);
}

const wordsOf = (item) =>
  [item.symbol, item.action, item.source, item.reason, ...item.warnings, item.stale ? "stale" : ""]
    .join(" ")
    .toLowerCase();

const compared = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
