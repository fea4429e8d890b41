// The figures of the page. Each takes a part of the answer and the width it may use, and returns one SVG.

import { count, counted, known, minute, number, percent, shortened } from "./format.js";
import { niceTicks, padded, Plot, tickDigits } from "./plot.js";
import { ACTIONS, bandWord, largest, SIGNS } from "./words.js";

const ROW = 22;
const share =
  (digits = 0) =>
  (value) =>
    percent(value, digits);
const NAMES = { arbiter: "Arbiter", shadow: "XGBoost alone" };

/** Win rate with its interval beside the rate that would break even; null where neither agent closed a trade. */
export function winRateChart(agents, width) {
  const shown = Object.entries(agents).filter(([, figures]) => figures && known(figures.win_rate.estimate));
  const values = shown.flatMap(([, { win_rate: rate, break_even: needed }]) => [
    rate.estimate,
    rate.low,
    rate.high,
    needed,
  ]);
  const drawn = values.filter(known);
  if (!drawn.length) return null;
  const [low, high] = padded(Math.min(...drawn), Math.max(...drawn), 0.08).map((end) =>
    Math.min(Math.max(end, -0.02), 1.02),
  );
  const left = width < 420 ? 104 : 128;
  const plot = new Plot(
    { width, height: 48 + 44 * shown.length, left, right: 14, bottom: 26 },
    [low, high],
    [shown.length - 0.5, -0.5],
  );
  const ticks = niceTicks(Math.max(low, 0), Math.min(high, 1), width < 420 ? 3 : 6);
  plot.xAxis(ticks, share(tickDigits(ticks.map((value) => value * 100))));
  const told = [];
  shown.forEach(([agent, { win_rate: rate, break_even: needed, trades }], row) => {
    const path = `${agent}.win_rate`;
    const style = agent === "arbiter" ? "s0" : "s3";
    plot.text(left - 10, plot.y(row) - 1, NAMES[agent], "end");
    plot.text(left - 10, plot.y(row) + 14, counted(trades, "trade"), "tick end");
    if (known(rate.low) && known(rate.high)) {
      plot.span(rate.low, rate.high, row, 7, `range ${style}`, {
        about: `interval ${percent(rate.low)} to ${percent(rate.high)}`,
      });
    }
    const about = `win rate ${percent(rate.estimate)}`;
    plot[agent === "arbiter" ? "dot" : "diamond"](rate.estimate, row, `dot ${style}`, 5.5, {
      about,
      path: `${path}.estimate`,
      value: rate.estimate,
    });
    if (known(needed)) {
      plot.stroke(needed, row, 24, "needed", {
        about: `break-even ${percent(needed)}`,
        path: `${agent}.break_even`,
        value: needed,
      });
    }
    told.push(
      `${NAMES[agent]} ${percent(rate.estimate)}, interval ${percent(rate.low)} to ${percent(rate.high)}, break-even ${percent(needed)}, ${counted(trades, "trade")}`,
    );
  });
  return plot.element(`Win rate against break-even: ${told.join("; ")}.`);
}

/** Share of each signal against the band it should keep to: `bands` by signal. */
export function sharesChart(agents, bands, width) {
  const left = 70;
  const plot = new Plot({ width, height: 3 * 34 + 34, left, right: 24, bottom: 24 }, [0, 1], [2.5, -0.5]);
  const ticks = width < 420 ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.2, 0.4, 0.6, 0.8, 1];
  plot.xAxis(ticks, share());
  const told = [];
  ACTIONS.forEach((action, row) => {
    const band = bands[action];
    plot.text(left - 10, plot.y(row) + 4, `${SIGNS[action]} ${action}`, "end");
    plot.mark("path", { class: "grid", d: `M${left} ${plot.y(row).toFixed(1)}H${width - 24}` });
    plot.span(...band, row, 18, "target", { about: `band ${percent(band[0], 0)} to ${percent(band[1], 0)}` });
    for (const agent of ["shadow", "arbiter"]) {
      const found = agents[agent]?.shares?.[action];
      if (!known(found)) continue;
      const more = {
        about: `${NAMES[agent]}: ${percent(found)}`,
        path: `${agent}.shares.${action}`,
        value: found,
      };
      if (agent === "arbiter") plot.dot(found, row, "dot s0", 5.5, more);
      else plot.diamond(found, row, "dot s3", 5.5, more);
      told.push(`${NAMES[agent]} ${action} ${percent(found)}, ${bandWord(found, band)} the band`);
    }
  });
  return plot.element(`Shares of the signals: ${told.join("; ")}.`);
}

/** How often each confidence was stated. */
export function histogramChart(counts, width) {
  const highest = Math.max(...counts, 1);
  const plot = new Plot({ width, height: 220 }, [0.5, 1], [0, highest * 1.06]);
  plot.yAxis(niceTicks(0, highest, 4, true), count);
  plot.xAxis(width < 420 ? [0.5, 0.75, 1] : [0.5, 0.6, 0.7, 0.8, 0.9, 1], share(), "directional confidence");
  counts.forEach((found, bin) => {
    const [a, b] = [0.5 + (0.5 * bin) / counts.length, 0.5 + (0.5 * (bin + 1)) / counts.length];
    const about = `${percent(a, 0)} to ${percent(b, 0)}: ${counted(found, "decision")}`;
    plot.column(a, b, found, "bar s0", { about, path: `confidence_histogram.${bin}`, value: found });
  });
  const total = counts.reduce((sum, found) => sum + found, 0);
  return plot.element(`Histogram of the confidence of ${counted(total, "BUY or SELL decision")}.`);
}

/** Share that was right against the confidence stated, one point a bin. */
export function calibrationChart(agents, width) {
  const bins = (agent) =>
    (agents[agent]?.calibration ?? [])
      .map((bin, at) => ({ ...bin, at }))
      .filter((bin) => bin.count > 0 && known(bin.confidence) && known(bin.accuracy));
  const all = [...bins("arbiter"), ...bins("shadow")];
  if (!all.length) return null;
  const right = Math.min(1, Math.max(0.6, ...all.map((bin) => bin.confidence)) + 0.02);
  const [low, high] = padded(
    Math.min(0.48, ...all.map((bin) => bin.accuracy)),
    Math.max(0.55, ...all.map((bin) => bin.accuracy)),
  );
  const plot = new Plot({ width, height: 220 }, [0.495, right], [low, high]);
  plot.yAxis(niceTicks(Math.max(low, 0), Math.min(high, 1), 4), share());
  const ticks = niceTicks(0.5, right, width < 420 ? 3 : 6);
  plot.xAxis(ticks, share(tickDigits(ticks.map((value) => value * 100))), "directional confidence");
  const end = Math.min(right, high);
  plot.line(
    [
      [Math.max(0.5, low), Math.max(0.5, low)],
      [end, end],
    ],
    "ideal",
  );
  const most = Math.max(...all.map((bin) => bin.count));
  for (const [agent, style, shape] of [
    ["shadow", "s3", "diamond"],
    ["arbiter", "s0", "dot"],
  ]) {
    const points = bins(agent);
    plot.line(
      points.map((bin) => [bin.confidence, bin.accuracy]),
      `line ${style}`,
    );
    for (const bin of points) {
      const about = `${NAMES[agent]}: stated ${percent(bin.confidence)}, right ${percent(bin.accuracy)}, ${counted(bin.count, "decision")}`;
      const radius = (3 + 4 * Math.sqrt(bin.count / most)).toFixed(1);
      plot[shape](bin.confidence, bin.accuracy, `dot ${style}`, Number(radius), {
        about,
        path: `${agent}.calibration.${bin.at}.accuracy`,
        value: bin.accuracy,
      });
    }
  }
  return plot.element("Calibration: share of directions that were right against the confidence stated.");
}

/** Attention to each bar of the window, oldest first. */
export function attentionChart(explanation, width) {
  const weights = explanation.attention;
  const bars = weights.length;
  const highest = Math.max(...weights.filter(known), 1 / bars);
  const plot = new Plot({ width, height: 220 }, [0.5 - bars, 0.5], [0, highest * 1.06]);
  const ticks = niceTicks(0, highest, 4);
  plot.yAxis(ticks, share(tickDigits(ticks.map((value) => value * 100))));
  plot.level(1 / bars, "ideal");
  plot.xAxis(
    niceTicks(1 - bars, 0, width < 420 ? 3 : 6),
    (value) => number(value, 0),
    "bars before the decision",
  );
  weights.forEach((weight, bar) => {
    const ago = bar - bars + 1;
    if (known(weight))
      plot.column(ago - 0.5, ago + 0.5, weight, "bar s0", {
        about: `bar ${number(ago, 0)}: ${percent(weight, 2)}`,
        path: `explanation.attention.${bar}`,
        value: weight,
      });
  });
  const names = weights.map((_, bar) => `bar ${number(bar - bars + 1, 0)}`);
  return plot.element(
    `Attention to the ${bars} bars before ${minute(explanation.bar_ms)}; most on ${largest(names, weights)}.`,
  );
}

/** Weight of each feature, the largest at the top. */
export function importanceChart(explanation, width) {
  const rows = Object.entries(explanation.importances)
    .filter(([, weight]) => known(weight))
    .sort((one, other) => other[1] - one[1]);
  const left = width < 420 ? 118 : 150;
  const most = Math.max(...rows.map(([, weight]) => weight), 1e-9);
  const plot = new Plot(
    { width, height: 12 + ROW * rows.length, left, right: 60, top: 4, bottom: 8 },
    [0, most],
    [rows.length - 0.5, -0.5],
  );
  rows.forEach(([name, weight], row) => {
    const label = shortened(name, width < 420 ? 16 : 21);
    plot.text(left - 8, plot.y(row) + 4, label, "end");
    plot.span(0, weight, row, 12, "bar s0", {
      about: `${name}: ${percent(weight)}`,
      path: `explanation.importances.${name}`,
      value: weight,
    });
    plot.text(plot.x(weight) + 6, plot.y(row) + 4, percent(weight), "tick");
  });
  return plot.element(
    `Importance of the features; most for ${largest(
      rows.map(([name]) => name),
      rows.map(([, weight]) => weight),
    )}.`,
  );
}
