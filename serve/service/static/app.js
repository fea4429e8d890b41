// The page's heartbeat: ask, show, wait. What was shown last stays while the service is away.

import { ask, storeKey, storedKey, usableKey } from "./client.js";
import { DecisionTable } from "./decisions.js";
import { byId, setHidden, setText } from "./dom.js";
import { clock, duration } from "./format.js";
import { showHealth, showState } from "./health.js";
import { forgetCharts } from "./keep.js";
import { showAlerts, showReport } from "./report.js";

const EVERY_MS = 5_000;
const SLOWEST_MS = 60_000;
const LEISURE = 10; // A journal of years takes the service a while: looking must not cost it what deciding needs.
const MOST = 1_000; // Symbols told one by one: those of a service of ten thousand would be megabytes at every look.
const HOURS = ["24", "168", "all"];

const table = new DecisionTable();
const state = {
  range: HOURS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "24",
  report: null, // the newest answer of the monitor and the range it was asked for
  shownRange: null,
  health: null,
  version: null,
  receivedAt: null,
  awaySince: null,
  misses: 0,
  refusal: "",
  waitMs: 0,
  tookMs: 0,
  paused: false,
  wantsKey: false,
};
let timer = null;
let running = null;

/** One round of questions; a newer round (another range, another key) drops the one under way. */
async function look() {
  clearTimeout(timer);
  running?.abort();
  const round = new AbortController();
  running = round;
  const { range } = state;
  const query = range === "all" ? "" : `hours=${range}&`;
  const begun = performance.now();
  const [monitor, health, version] = await Promise.all([
    ask(`v1/monitor?${query}latest=${MOST}`, round.signal),
    ask(`v1/health?stale=${MOST}`, round.signal),
    state.version && !state.misses ? { data: state.version } : ask("v1/version", round.signal),
  ]);
  if (running !== round) return;
  running = null;
  // Every other answer may come from the service's memory, at once.
  state.tookMs = Math.max(performance.now() - begun, state.tookMs * 0.7);
  take({ monitor, health, version, range });
  plan();
}

function take({ monitor, health, version, range }) {
  const answers = [monitor, health, version];
  state.waitMs = Math.max(0, ...answers.map((answer) => answer.waitMs ?? 0));
  if (answers.some((answer) => answer.fault === "key")) {
    wantKey();
    return;
  }
  if (answers.every((answer) => answer.fault !== "away")) state.awaySince = null;
  else state.awaySince ??= Date.now();
  state.misses = state.awaySince === null ? 0 : state.misses + 1;
  state.refusal = answers
    .filter((answer) => answer.fault === "refused" && answer !== version)
    .map((answer) => answer.message)
    .join(" ");
  if (version.data) state.version = version.data;
  if (health.data) state.health = health.data;
  if (monitor.data) Object.assign(state, { report: monitor.data, shownRange: range, receivedAt: Date.now() });
  show();
}

function plan() {
  clearTimeout(timer);
  if (state.paused || state.wantsKey || document.hidden) return;
  timer = setTimeout(look, pauseMs());
}

/** Longer while nobody answers, where answers take long, and where the service asks for it. */
function pauseMs() {
  const slower = state.misses ? EVERY_MS * 2 ** Math.max(0, state.misses - 2) : LEISURE * state.tookMs;
  return Math.max(Math.min(Math.max(slower, EVERY_MS), SLOWEST_MS), state.waitMs);
}

function show() {
  setHidden(byId("key-form"), !state.wantsKey);
  setHidden(byId("forget"), storedKey() === null || state.wantsKey);
  setHidden(byId("main"), state.wantsKey);
  if (state.wantsKey) {
    banner();
    return;
  }
  let fault = "";
  try {
    if (state.report) {
      setHidden(byId("content"), false);
      const hours = state.shownRange === "all" ? null : Number(state.shownRange);
      showAlerts(state.report.alerts);
      table.show(state.report.latest, state.report.latest_left_out, state.health?.stale ?? []);
      showReport(state.report, hours);
    }
    if (state.health) showHealth(state.health);
  } catch (error) {
    // A service of another version may word its answer otherwise: better said than half of it shown silently.
    fault = `This page does not understand the service's answer (${error.message}): reload it.`;
  }
  showState(state.health);
  setText(byId("version"), versionWords(state.version));
  banner(fault);
  tick();
}

function banner(fault = "") {
  const words = [];
  if (state.awaySince !== null) {
    const known =
      state.receivedAt === null ? "" : ` What you see is from ${clock(state.report.generated_ms)} UTC.`;
    words.push(`Not reachable since ${clock(state.awaySince)} UTC.${known}`);
  }
  if (state.refusal) words.push(`The service answered: ${state.refusal}`);
  if (fault) words.push(fault);
  setHidden(byId("banner"), words.length === 0 || state.wantsKey);
  setHidden(byId("again"), !words.length);
  setText(byId("banner-words"), words.join(" "));
  const alerts = state.report?.alerts?.length ?? 0;
  const first = state.awaySince !== null ? "Not reachable \u2013 " : alerts ? `(${alerts}) ` : "";
  document.title = `${first}quantum-trader`;
}

/** What runs with the clock: ages, and how old the page is. */
function tick() {
  if (state.receivedAt === null || state.wantsKey) {
    if (state.wantsKey) setText(byId("updated"), "Waiting for the API key.");
    else if (state.awaySince !== null) setText(byId("updated"), "No answer so far.");
    else if (state.refusal) setText(byId("updated"), "No figures so far.");
    return;
  }
  // Ages go by the service's clock: the one of this machine may be wrong.
  const since = Math.max(0, Date.now() - state.receivedAt);
  table.tick(state.report.generated_ms + since);
  const asking = state.range !== state.shownRange && state.awaySince === null && !state.refusal;
  const mode = asking
    ? "asking for another range"
    : state.paused
      ? "paused"
      : `asks every ${duration(pauseMs())}`;
  setText(byId("updated"), `As of ${clock(state.report.generated_ms)} UTC, ${duration(since)} ago; ${mode}`);
}

function wantKey() {
  const refused = storedKey() !== null;
  storeKey(null);
  state.wantsKey = true;
  show();
  setText(byId("key-fault"), refused ? "The service does not accept this key." : "");
  setText(byId("health-word"), "locked");
  byId("key").focus();
  tick();
}

function versionWords(version) {
  if (!version) return "";
  return typeof version.version === "string" ? ` · quantum-trader ${version.version}` : "";
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const input = byId("key");
  const key = input.value.trim();
  if (!usableKey(key)) {
    setText(byId("key-fault"), "A key is made of letters, digits and signs, without spaces.");
    return;
  }
  input.value = "";
  storeKey(key);
  setText(byId("key-fault"), "");
  state.wantsKey = false;
  look();
});

byId("forget").addEventListener("click", () => {
  storeKey(null);
  // What the key opened goes with it.
  location.reload();
});

byId("pause").addEventListener("click", (event) => {
  state.paused = !state.paused;
  setText(event.currentTarget, state.paused ? "Go on" : "Pause");
  if (state.paused) plan();
  else look();
  tick();
});

byId("again").addEventListener("click", look);

for (const input of document.querySelectorAll("input[name=range]")) {
  input.checked = input.value === state.range;
  input.addEventListener("change", () => {
    state.range = input.value;
    history.replaceState(null, "", `#${state.range}`);
    if (state.wantsKey) return;
    look();
    tick();
  });
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (!state.paused && !state.wantsKey) look();
});
window.addEventListener("online", () => {
  if (!state.wantsKey && !state.paused) look();
});

let width = 0;
new ResizeObserver(([entry]) => {
  const now = Math.round(entry.contentRect.width);
  if (now === width) return;
  width = now;
  forgetCharts();
  if (state.report) requestAnimationFrame(show);
}).observe(byId("main"));

setInterval(tick, 1_000);
look();
