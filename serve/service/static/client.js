// Questions to the service. An answer is {data}, or {fault, message}: "away" (nobody answered), "key" (it wants a
// key, or another one) or "refused" (it answered, but not with what was asked for), "dropped" (the caller lost interest).

const KEY = "quantum-trader-api-key";
const PATIENCE_MS = 40_000; // Longer than the service's own: its sentence says more than silence does.

// Without storage (a browser may forbid it) the key lasts as long as the page does.
let keyOfThisPage = null;

export function storedKey() {
  try {
    return sessionStorage.getItem(KEY) ?? keyOfThisPage;
  } catch {
    return keyOfThisPage;
  }
}

export function storeKey(key) {
  keyOfThisPage = key;
  try {
    if (key === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, key);
  } catch {
    /* kept in `keyOfThisPage` */
  }
}

/** Whether a header can carry the key: visible ASCII. */
export const usableKey = (key) => /^[\x21-\x7e]+$/.test(key);

/** Ask for the JSON at `address`, relative to the page. */
export async function ask(address, signal) {
  const key = storedKey();
  const patience = new AbortController();
  const stop = () => patience.abort();
  const timer = setTimeout(stop, PATIENCE_MS);
  signal.addEventListener("abort", stop);
  let answer, text;
  try {
    answer = await fetch(address, {
      headers: key === null ? {} : { "X-API-Key": key },
      cache: "no-store",
      mode: "same-origin",
      redirect: "error", // The key goes to this origin and nowhere else.
      signal: patience.signal,
    });
    text = await answer.text();
  } catch {
    return { fault: signal.aborted ? "dropped" : "away", message: "" };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
  }
  if (answer.status === 401) return { fault: "key", message: "" };
  if (!answer.ok) return refused(answer, text);
  try {
    return { data: JSON.parse(text) };
  } catch {
    return {
      fault: "refused",
      status: answer.status,
      message: `${address} answered with something that is not JSON.`,
    };
  }
}

function refused(answer, text) {
  const wait = Number(answer.headers.get("Retry-After"));
  return {
    fault: "refused",
    status: answer.status,
    message: said(text) || answer.statusText || `status ${answer.status}`,
    waitMs: Number.isFinite(wait) && wait > 0 ? Math.min(wait, 300) * 1000 : 0,
  };
}

/** The sentence in an error's body, as FastAPI and most services word it. */
function said(text) {
  try {
    const body = JSON.parse(text);
    const words = body.detail ?? body.error ?? body.message;
    return (typeof words === "string" ? words : (words?.message ?? words?.[0]?.msg ?? "")).slice(0, 500);
  } catch {
    return "";
  }
}
