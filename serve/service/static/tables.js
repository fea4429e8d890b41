// The tables of the page. Every number in them names where it stands in the service's answer.

import { el, figure } from "./dom.js";
import { count, counted, known, milliseconds, number, percent, UNDEFINED } from "./format.js";
import { ACTIONS, bandWord, SIGNS } from "./words.js";

const AGENTS = [
  ["arbiter", "Arbiter"],
  ["shadow", "XGBoost alone"],
];

/** "48.1 … 52.3 %", or words where there is no interval. */
export function bounds(path, interval, digits = 1, signed = false) {
  if (!known(interval.low) || !known(interval.high)) return "no interval yet";
  return [
    figure(`${path}.low`, interval.low, number(interval.low * 100, digits, { signed })),
    " \u2026 ",
    figure(`${path}.high`, interval.high, percent(interval.high, digits, { signed })),
  ];
}

export function sharesTable(agents, bands) {
  const present = AGENTS.filter(([agent]) => agents[agent]);
  return [
    head(["Signal", "Band", ...present.map(([, name]) => name)]),
    el(
      "tbody",
      {},
      ACTIONS.map((action) => {
        const [low, high] = bands[action];
        return row(
          `${SIGNS[action]} ${action}`,
          `${number(low * 100, 0)} \u2026 ${percent(high, 0)}`,
          ...present.map(([agent]) => {
            const share = agents[agent].shares[action];
            const word = bandWord(share, bands[action]);
            return [
              figure(`${agent}.shares.${action}`, share, percent(share)),
              known(share) &&
                el(
                  "span",
                  { class: word === "within" ? "ci" : "ci off" },
                  word === "within" ? "within" : `${word} the band`,
                ),
            ];
          }),
        );
      }),
    ),
  ];
}

const plain = (key, format) => (path, figures) =>
  figure(`${path}.${key}`, figures[key], format(figures[key]));

const interval = (key, digits, signed) => (path, figures) => {
  const found = figures[key];
  return [
    figure(`${path}.${key}.estimate`, found.estimate, percent(found.estimate, digits, { signed })),
    known(found.estimate) && el("span", { class: "ci" }, bounds(`${path}.${key}`, found, digits, signed)),
  ];
};

const signedPercent = (value) => percent(value, 2, { signed: true });

const MEASURES = [
  ["Decisions", "warm-up and refused bars left out", plain("decisions", count)],
  ["Outcome known", "", plain("resolved", count)],
  ["Closed trades", "that do not overlap", plain("trades", count)],
  ["Win rate", "", interval("win_rate", 1, false)],
  ["Break-even win rate", "", plain("break_even", percent)],
  ["Net return a trade", "of the notional, after all costs", interval("net_return", 3, true)],
  ["Sum of net returns", "", plain("total_return", signedPercent)],
  ["Sum before costs", "", plain("gross_return", signedPercent)],
  ["False positives", "BUY and SELL whose label is another", interval("false_positive_rate", 1, false)],
  ["Direction accuracy", "where the label has a direction", interval("direction_accuracy", 1, false)],
  ["Mean confidence", "of BUY and SELL", plain("average_confidence", percent)],
  [
    "Calibration error",
    "stated less observed, weighted",
    plain("calibration_error", (value) => percent(value, 2)),
  ],
];

export function comparison(agents) {
  const present = AGENTS.filter(([agent]) => agents[agent]);
  return [
    head(["Measure", ...present.map(([, name]) => name)]),
    el(
      "tbody",
      {},
      MEASURES.map(([name, meaning, cell]) =>
        row(
          [name, meaning && el("span", { class: "ci" }, meaning)],
          ...present.map(([agent]) => cell(agent, agents[agent])),
        ),
      ),
    ),
  ];
}

export function histogramTable(counts) {
  const edge = (bin) => percent(0.5 + (0.5 * bin) / counts.length, 0);
  return [
    head(["Confidence", "Decisions"]),
    el(
      "tbody",
      {},
      counts.map((found, bin) =>
        row(`${edge(bin)} to ${edge(bin + 1)}`, figure(`confidence_histogram.${bin}`, found, count(found))),
      ),
    ),
  ];
}

export function calibrationTable(agents) {
  const rows = AGENTS.flatMap(([agent, name]) =>
    (agents[agent]?.calibration ?? []).map((bin, at) => {
      const path = `${agent}.calibration.${at}`;
      return row(
        `${name}, ${percent(bin.low, 0)} to ${percent(bin.high, 0)}`,
        figure(`${path}.count`, bin.count, count(bin.count)),
        figure(`${path}.confidence`, bin.confidence, percent(bin.confidence)),
        figure(`${path}.accuracy`, bin.accuracy, percent(bin.accuracy)),
      );
    }),
  );
  return [head(["Confidence", "Decisions", "Stated", "Right"]), el("tbody", {}, rows)];
}

/** The newest bar first. */
export function attentionTable(weights) {
  const rows = weights.map((weight, bar) => {
    const ago = number(bar - weights.length + 1, 0);
    return row(ago, figure(`explanation.attention.${bar}`, weight, percent(weight, 2)));
  });
  return [head(["Bars before the decision", "Attention"]), el("tbody", {}, rows.reverse())];
}

/** How often each name occurs, the commonest first; what is beyond `most` rows is one row. */
export function countTable(title, counts, path, most = Infinity, style = "") {
  const rows = Object.entries(counts).sort((one, other) => other[1] - one[1]);
  const total = rows.reduce((sum, [, found]) => sum + found, 0);
  const rest = rows.slice(most);
  const body = rows
    .slice(0, most)
    .map(([name, found]) =>
      row(
        el("span", { class: style || "name" }, name || UNDEFINED),
        figure(`${path}.${name}`, found, count(found)),
        percent(found / total),
      ),
    );
  if (rest.length) {
    const others = rest.reduce((sum, [, found]) => sum + found, 0);
    body.push(row(`${counted(rest.length, "other")}`, count(others), percent(others / total)));
  }
  if (!body.length)
    body.push(el("tr", {}, el("td", { colspan: 3, class: "words" }, "No decision in this range.")));
  return [head([title, "Decisions", "Share"]), el("tbody", {}, body)];
}

export function speedTable(latency) {
  const names = [
    ["p50", "Half of the decisions within"],
    ["p99", "99 of 100 within"],
    ["highest", "Slowest"],
  ];
  return [
    head(["Latency", "Time"]),
    el(
      "tbody",
      {},
      names.map(([key, name]) =>
        row(name, figure(`latency.${key}`, latency[key], milliseconds(latency[key]))),
      ),
    ),
  ];
}

/** A head row; `words` are the columns that are read from the left. */
export function head(names, words = []) {
  return el(
    "thead",
    {},
    el(
      "tr",
      {},
      names.map((name, at) => el("th", { scope: "col", class: words.includes(at) ? "words" : null }, name)),
    ),
  );
}

/** A row of a table with its heading. */
export function row(name, ...cells) {
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, name),
    cells.map((cell) => el("td", {}, cell)),
  );
}
