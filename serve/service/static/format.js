// Numbers and moments in words; what is undefined is an en dash. The report of a run writes them the same way.

export const UNDEFINED = "\u2013";
const MINUS = "\u2212";
const SPACE = "\u00a0"; // A unit at the start of a line would belong to nothing.

const writers = [0, 1, 2, 3, 4].map(
  (digits) =>
    new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);

export const known = (value) => typeof value === "number" && Number.isFinite(value);

/** Fixed decimals with a true minus sign; zero never carries a sign. */
export function number(value, digits = 2, { signed = false } = {}) {
  if (!known(value)) return UNDEFINED;
  const size = writers[digits].format(Math.abs(value));
  const zero = !/[1-9]/.test(size);
  return (zero ? "" : value < 0 ? MINUS : signed ? "+" : "") + size;
}

/** A fraction as percent. */
export function percent(value, digits = 1, options = {}) {
  return known(value) ? number(value * 100, digits, options) + SPACE + "%" : UNDEFINED;
}

export const count = (value) => number(value, 0);

/** "1 trade", "2 trades". */
export const counted = (value, one, many = `${one}s`) => `${count(value)}${SPACE}${value === 1 ? one : many}`;

/** Milliseconds with three digits that matter. */
export function milliseconds(value) {
  if (!known(value)) return UNDEFINED;
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${number(value, digits)}${SPACE}ms`;
}

/** UTC date and time to the minute. */
export const minute = (ms) => (validMoment(ms) ? iso(ms).slice(0, 16).replace("T", " ") : UNDEFINED);

/** UTC time of day to the second. */
export const clock = (ms) => (validMoment(ms) ? iso(ms).slice(11, 19) : UNDEFINED);

/** How long something lasted, coarse: "12 s", "4 min", "3 h", "2 d". */
export function duration(ms) {
  if (!known(ms)) return UNDEFINED;
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds}${SPACE}s`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}${SPACE}min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3_600)}${SPACE}h`;
  return `${count(Math.floor(seconds / 86_400))}${SPACE}d`;
}

/** Names as a phrase: "a", "a and b", "a, b and c". */
export function listing(names) {
  if (names.length < 2) return names.join("");
  return `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}`;
}

export const shortened = (name, length) =>
  name.length <= length ? name : `${name.slice(0, length - 1)}\u2026`;

// Beyond these `Date` has no text and would throw.
const validMoment = (ms) => known(ms) && Math.abs(ms) <= 8.64e15;
const iso = (ms) => {
  const text = new Date(ms).toISOString();
  return text.length > 24 ? text.slice(3) : text;
};
