// What figures mean, in words: pure functions, so that no chart is read as more than it says.

import { counted, duration, known, listing, percent, UNDEFINED } from "./format.js";

export const ACTIONS = ["BUY", "SELL", "HOLD"];
export const SIGNS = { BUY: "\u25b2", SELL: "\u25bc", HOLD: "\u2013" };

/**
 * How an agent's win rate stands to its break-even: `tone` is "good", "bad" or "open", `label` one or two words.
 * Below `fewest` closed trades a win rate says too little.
 */
export function winRateVerdict(figures, fewest) {
  const { trades, resolved, win_rate: rate, break_even: needed } = figures;
  if (!resolved)
    return open("too early", "No outcome is known yet: a decision is judged once its horizon has passed.");
  if (!trades) return open("too early", "No trade has closed yet.");
  if (trades < fewest) {
    const seen = `${counted(trades, "closed trade")} ${trades === 1 ? "is" : "are"} too few to tell skill from luck`;
    return open("too few", `${seen}; read nothing into the figures before there are ${fewest}.`);
  }
  if (!known(needed))
    return open("no mark", "There is no break-even mark before trades were both won and lost.");
  if (!known(rate.low) || !known(rate.high)) {
    return open(
      "no interval",
      "There is no interval yet: the trades lie in too few separate stretches of time.",
    );
  }
  if (rate.low > needed)
    return {
      tone: "good",
      label: "above",
      words: "Wins more often than break-even needs, the whole interval included.",
    };
  if (rate.high < needed)
    return {
      tone: "bad",
      label: "below",
      words:
        "Wins less often than break-even needs, the whole interval included: as it stands, it loses money.",
    };
  return open("undecided", "Break-even lies within the interval: what was won or lost so far may be luck.");
}

/** Where a share lies: "within", "above" or "below" its band. */
export function bandWord(share, [low, high]) {
  if (!known(share)) return UNDEFINED;
  // The bands are whole percents: 0.35 that arrives as 0.35000000000000003 is within.
  return share < low - 1e-9 ? "below" : share > high + 1e-9 ? "above" : "within";
}

/** What the daily difference between the Arbiter and the shadow shows. */
export function differenceVerdict(difference) {
  if (!difference || !known(difference.estimate))
    return "There are no days yet on which both can be compared.";
  if (!known(difference.low) || !known(difference.high)) return "There are too few days for an interval.";
  if (difference.low > 0) return "The Arbiter earns more than XGBoost alone, the whole interval included.";
  if (difference.high < 0) return "The Arbiter earns less than XGBoost alone, the whole interval included.";
  return "The interval holds zero: neither is shown to be better.";
}

/** The range looked at. */
export function rangeWords(report, hours) {
  if (hours === null) return "everything in the journal";
  return hours === 24
    ? "the last 24 hours"
    : hours % 24 === 0
      ? `the last ${hours / 24} days`
      : `the last ${hours} hours`;
}

/** A row of bins or bars in a sentence, for those who cannot see the chart. */
export function largest(names, values, wanted = 3) {
  const order = values.map((value, index) => [value, names[index]]).filter(([value]) => known(value));
  order.sort((one, other) => other[0] - one[0]);
  return listing(order.slice(0, wanted).map(([value, name]) => `${name} (${percent(value)})`));
}

/** What a member of the Arbiter does at the moment. */
export function memberWords(member) {
  if (member.state === "ready") return "answers";
  if (member.state === "missing") return "missing";
  if (member.state === "trying") return "rested, asked again at the next decision";
  if (member.state !== "resting") return String(member.state);
  return known(member.retry_in_s) && member.retry_in_s > 0
    ? `resting, asked again in ${duration(member.retry_in_s * 1000)}`
    : "resting";
}

const open = (label, words) => ({ tone: "open", label, words });
