// The fleet's time line: what was ordered, by whom and why, and what happened.
import { byId, el, keyed } from "./dom.js";

const every = 10000; // milliseconds between looks: each one is a read of etcd
const most = 100;
const classes = { health: "s-degraded", override: "s-drain", release: "s-up", rollback: "s-degraded", canary: "s-drain", window: "s-drain" };
let next = 0, seen = "";

// drawEvents asks for the newest events, when something may have changed or a while has passed.
export async function drawEvents(status) {
  const mark = JSON.stringify([status.topology, status.sites.map((s) => [s.state, s.override])]);
  if (mark === seen && Date.now() < next) return;
  seen = mark;
  next = Date.now() + every;
  try {
    const response = await fetch(`/api/v1/events?limit=${most}`, { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    show(answer.map((e) => ({ key: `${e.at} ${e.kind} ${e.site || ""} ${e.text}`, at: new Date(e.at), what: words(e), cls: classes[e.kind] || "s-up", kind: e.kind })));
  } catch (e) {
    show([{ key: "lost", what: `The time line cannot be read: ${e.message}` }]);
  }
}

function words(e) {
  let text = e.text;
  if (e.revision) text = `revision ${e.revision}: ${text}`;
  if (e.site) text = `${e.site}: ${text}`;
  if (e.who) text += `, by ${e.who}`;
  return e.why ? `${text}: ${e.why}` : text;
}

function show(events) {
  const list = events.length ? events : [{ key: "none", what: "Nothing so far." }];
  keyed(byId("events"), list, (e) => e.key, (e) => e.at
    ? el("li", el("time", e.at.toLocaleString([], { hour12: false })), el("span." + e.cls, el("span.mark"), `${e.kind} ${e.what}`))
    : el("li.none", e.what), () => {});
}
