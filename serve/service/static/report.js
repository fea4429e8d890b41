// What the monitor's report becomes on the page.

import * as charts from "./charts.js";
import { byId, el, figure, setHidden } from "./dom.js";
import { count, counted, known, milliseconds, minute, percent } from "./format.js";
import { chart, keep } from "./keep.js";
import * as tables from "./tables.js";
import { differenceVerdict, rangeWords, winRateVerdict } from "./words.js";

const MOST_REASONS = 12;

/** Draw what follows from the monitor's report. */
export function showReport(report, hours) {
  const { arbiter, shadow, normal } = report;
  const agents = { arbiter, shadow };
  setHidden(byId("measured"), !arbiter.decisions);
  setHidden(byId("tiles"), !arbiter.decisions);
  setHidden(byId("counted"), !Object.keys(report.by_source).length);
  keep("summary", [arbiter, report.symbols, hours], () => summary(report, hours));
  keep("tiles", [arbiter, report.latency], () => tiles(report));
  chart(
    "win-chart",
    [
      arbiter.win_rate,
      arbiter.break_even,
      arbiter.trades,
      shadow?.win_rate,
      shadow?.break_even,
      shadow?.trades,
    ],
    (width) => charts.winRateChart(agents, width),
  );
  keep("win-words", [arbiter], verdict(winRateVerdict(arbiter, normal.fewest_trades)));
  chart("shares-chart", [arbiter.shares, shadow?.shares, arbiter.decisions], (width) =>
    arbiter.decisions ? charts.sharesChart(agents, normal.shares, width) : null,
  );
  keep("shares-table", [arbiter.shares, shadow?.shares], () => tables.sharesTable(agents, normal.shares));
  keep("comparison-words", [report.difference, shadow === null], () => comparisonWords(report));
  keep("comparison", [arbiter, shadow], () => tables.comparison(agents));
  const { confidence_histogram: counts } = report;
  const signals = counts.reduce((sum, found) => sum + found, 0);
  chart(
    "histogram-chart",
    counts,
    (width) => (signals ? charts.histogramChart(counts, width) : null),
    "No BUY or SELL decision in this range.",
  );
  keep("histogram-table", counts, () => tables.histogramTable(counts));
  chart(
    "calibration-chart",
    [arbiter.calibration, shadow?.calibration],
    (width) => charts.calibrationChart(agents, width),
    "No BUY or SELL decision has a known direction yet.",
  );
  keep("calibration-table", [arbiter.calibration, shadow?.calibration], () =>
    tables.calibrationTable(agents),
  );
  explanation(report.explanation);
  keep("sources", report.by_source, () => tables.countTable("Source", report.by_source, "by_source"));
  keep("reasons", report.by_reason, () =>
    tables.countTable("Reason", report.by_reason, "by_reason", MOST_REASONS),
  );
  keep("speed", report.latency, () => tables.speedTable(report.latency));
  keep("models", report.model_hashes, () =>
    tables.countTable("Model hash", report.model_hashes, "model_hashes", 6, "hash"),
  );
}

/** The alerts, the worst first. */
export function showAlerts(alerts) {
  setHidden(byId("alerts-section"), false);
  const order = { critical: 0, warning: 1 };
  const sorted = alerts
    .map((alert, at) => ({ ...alert, at }))
    .sort((one, other) => (order[one.level] ?? 2) - (order[other.level] ?? 2));
  keep("alerts", alerts, () =>
    sorted.length
      ? el(
          "ul",
          {},
          sorted.map(({ name, level, message }) =>
            el(
              "li",
              { class: `alert ${level === "critical" ? "critical" : "warning"}` },
              el("span", { class: "level" }, level),
              el("span", { class: "what" }, el("b", {}, `${titled(name)}.`), " ", message),
            ),
          ),
        )
      : el(
          "p",
          { class: "note" },
          "None. Alerts tell of drift, silence, slow answers, a win rate below break-even.",
        ),
  );
}

function summary(report, hours) {
  const { arbiter, symbols, normal } = report;
  const range = rangeWords(report, hours);
  if (!arbiter.decisions) {
    const seen = Object.values(report.by_source).reduce((sum, found) => sum + found, 0);
    const other = seen
      ? `${counted(seen, "answer")} in ${range}, all in warm-up or to bars that were refused`
      : `No decision in ${range}`;
    return el("p", {}, `${other}.`, hours === null ? "" : " A longer range may hold some.");
  }
  return el(
    "p",
    {},
    `In ${range} the Arbiter decided `,
    figure("arbiter.decisions", arbiter.decisions, counted(arbiter.decisions, "time")),
    ` on ${counted(symbols.length, "symbol")}; the outcome of `,
    figure("arbiter.resolved", arbiter.resolved, count(arbiter.resolved)),
    ` is known. ${winRateVerdict(arbiter, normal.fewest_trades).words}`,
  );
}

function tiles({ arbiter, latency, normal }) {
  const few = arbiter.trades < normal.fewest_trades ? "few" : "";
  return [
    tile(
      "Win rate",
      figure("arbiter.win_rate.estimate", arbiter.win_rate.estimate, percent(arbiter.win_rate.estimate)),
      tables.bounds("arbiter.win_rate", arbiter.win_rate),
      few,
    ),
    tile(
      "Break-even",
      figure("arbiter.break_even", arbiter.break_even, percent(arbiter.break_even)),
      ["from ", figure("arbiter.trades", arbiter.trades, counted(arbiter.trades, "closed trade"))],
      few,
    ),
    tile(
      "Net return a trade",
      figure(
        "arbiter.net_return.estimate",
        arbiter.net_return.estimate,
        percent(arbiter.net_return.estimate, 3, { signed: true }),
      ),
      tables.bounds("arbiter.net_return", arbiter.net_return, 3, true),
      few,
    ),
    tile(
      "False positives",
      figure(
        "arbiter.false_positive_rate.estimate",
        arbiter.false_positive_rate.estimate,
        percent(arbiter.false_positive_rate.estimate),
      ),
      tables.bounds("arbiter.false_positive_rate", arbiter.false_positive_rate),
    ),
    tile(
      "Mean confidence",
      figure("arbiter.average_confidence", arbiter.average_confidence, percent(arbiter.average_confidence)),
      "of BUY and SELL",
    ),
    tile("Latency, p99", figure("latency.p99", latency.p99, milliseconds(latency.p99)), [
      "p50 ",
      figure("latency.p50", latency.p50, milliseconds(latency.p50)),
    ]),
  ];
}

/** "win_rate" as "Win rate". */
const titled = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

const tile = (name, value, below, style = "") =>
  el(
    "div",
    { class: `tile ${style}` },
    el("dt", {}, name),
    el("dd", {}, el("span", { class: "big" }, value), el("span", { class: "below" }, below)),
  );

const verdict =
  ({ tone, label, words }) =>
  () => [
    el("span", { class: `tone ${tone}` }, `${{ good: "\u2713", bad: "\u2717", open: "?" }[tone]} ${label}`),
    " ",
    words,
  ];

function comparisonWords({ shadow, difference }) {
  if (!shadow)
    return "XGBoost was not asked beside the Arbiter in this range: there is nothing to compare with.";
  const parts = ["XGBoost decides on the same bars in the background; nobody acts on it. "];
  if (difference && known(difference.estimate)) {
    parts.push(
      "Mean net return a day, Arbiter less XGBoost: ",
      figure("difference.estimate", difference.estimate, percent(difference.estimate, 3, { signed: true })),
    );
    if (known(difference.low) && known(difference.high))
      parts.push(" (", tables.bounds("difference", difference, 3, true), ")");
    parts.push(". ");
  }
  return [...parts, differenceVerdict(difference)];
}

function explanation(found) {
  const weights = found?.attention ?? [];
  const importances = Object.keys(found?.importances ?? {});
  setHidden(byId("explanation"), !found);
  setHidden(byId("attention-part"), !weights.length);
  setHidden(byId("importance-part"), !importances.length);
  keep("explanation-words", found, () =>
    found
      ? `The newest decision that says where it looked: ${found.symbol}, bar of ${minute(found.bar_ms)} UTC.`
      : "No decision in this range says where it looked: the Temporal Fusion Transformer does, once it takes part.",
  );
  if (weights.length) {
    chart("attention-chart", found, (width) => charts.attentionChart(found, width));
    keep("attention-table", weights, () => tables.attentionTable(weights));
  }
  if (importances.length) chart("importance-chart", found, (width) => charts.importanceChart(found, width));
}
