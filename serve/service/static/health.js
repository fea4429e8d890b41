// What the Arbiter says of its own state: members, drift, silence.

import { byId, el, setHidden, setText } from "./dom.js";
import { count, counted, duration, known, listing, number, UNDEFINED } from "./format.js";
import { keep } from "./keep.js";
import { head } from "./tables.js";
import { memberWords } from "./words.js";

/** What the Arbiter says of its own state. */
export function showHealth(health) {
  setHidden(byId("health-section"), false);
  const { members = [], drift = [], problems = [] } = health;
  keep("health-words", health, () => healthWords(health));
  keep("problems", problems, () => problems.map((problem) => el("li", {}, problem)));
  keep("members", members, () => membersTable(members));
  keep("health-facts", health, () => facts(health));
  keep("drift", drift, () => driftTable(drift));
  keep("drift-words", [drift.length, health.drift_watched], () => driftWords(drift, health.drift_watched));
}

/** What stands at the top: the word for the state of health. */
export function showState(health) {
  const pill = byId("health-word");
  const status = health?.status ?? "unknown";
  setText(pill, { ok: "\u2713 ok", degraded: "! degraded", failing: "\u2717 failing" }[status] ?? status);
  pill.className = `pill ${status}`;
}

function healthWords({ status, symbols, ready }) {
  const words = {
    ok: "Everything that decides is well.",
    degraded: "It decides, but not with everything it has.",
    failing: "It cannot decide: every answer is HOLD.",
  };
  const seen = known(symbols)
    ? ` ${counted(symbols, "symbol")} known, ${known(ready) ? count(ready) : UNDEFINED} with a full window of bars.`
    : "";
  return `${words[status] ?? `Status: ${status}.`}${seen}`;
}

function membersTable(members) {
  return [
    head(["Member", "State", "Failures"], [1]),
    el(
      "tbody",
      {},
      members.map((member) =>
        el(
          "tr",
          { class: member.state === "ready" ? null : "off" },
          el("th", { scope: "row" }, member.name),
          el(
            "td",
            { class: "words" },
            memberWords(member),
            member.last_error && el("span", { class: "ci" }, member.last_error),
          ),
          el("td", {}, count(member.failures)),
        ),
      ),
    ),
  ];
}

function facts(health) {
  const { journal, stale = [], stale_left_out: more = 0 } = health;
  const unnamed = Math.max(stale.length - 20, 0) + more;
  const rows = health.model ? [["Model", health.model]] : [];
  rows.push(["Model hash", el("span", { class: "hash" }, health.model_hash || UNDEFINED)]);
  if (known(health.uptime_s)) rows.push(["Up for", duration(health.uptime_s * 1000)]);
  if (journal)
    rows.push([
      "Journal",
      `${counted(journal.decisions, "decision")}, ${counted(journal.outcomes, "outcome")}, ${number(journal.bytes / 1e6, 1)} MB`,
    ]);
  if (journal?.fault) rows.push(["Journal's fault", journal.fault]);
  if (journal === null) rows.push(["Journal", "none kept"]);
  rows.push([
    "Symbols without new bars",
    stale.length
      ? listing(unnamed ? [...stale.slice(0, 20), counted(unnamed, "other")] : stale)
      : "none",
  ]);
  const decided = Object.entries(health.decisions ?? {}).sort((one, other) => other[1] - one[1]);
  if (decided.length)
    rows.push([
      "Decisions since the start",
      decided.map(([source, found]) => `${source} ${count(found)}`).join(", "),
    ]);
  if (health.clock_jump_ms) rows.push(["The clock jumped", `by ${duration(Math.abs(health.clock_jump_ms))}`]);
  return rows.map(([name, value]) =>
    el("div", { class: name === "Journal's fault" ? "off" : null }, el("dt", {}, name), el("dd", {}, value)),
  );
}

function driftTable(drift) {
  if (!drift.length) return [];
  return [
    head(["Symbol", "Input", "Drift", "Limit"], [1]),
    el(
      "tbody",
      {},
      drift.map(({ symbol, feature, score, limit }, at) => {
        const over = known(score) && known(limit) && score > limit;
        return el(
          "tr",
          { class: over ? "off" : null },
          el("th", { scope: "row", class: "words" }, symbol ?? UNDEFINED),
          el("td", { class: "words" }, feature),
          el(
            "td",
            {},
            el("data", { value: score ?? "", "data-health": `drift.${at}.score` }, number(score, 2)),
            over && el("span", { class: "ci off" }, "beyond"),
          ),
          el("td", {}, number(limit, 2)),
        );
      }),
    ),
  ];
}

function driftWords(drift, watched) {
  if (watched === false)
    return "These models carry no reference of the features they were fitted on: drift is not watched.";
  if (!drift.length) return "No drift score yet: it takes some days of bars.";
  return (
    "Population stability index of each symbol's furthest input against the bars the models were fitted on, the worst first. " +
    "Beyond its limit an input is spread like no stretch of the training bars."
  );
}
