// The fleet's time line: what was ordered, by whom and why, and what happened.
import { byId, el, keyed, once } from "./dom.js";
import { fresh } from "./api.js";

const every = 10000; // milliseconds between looks: each one is a read of etcd
const most = 200;
const kinds = ["override", "release", "generation", "breaker", "apply", "canary", "promote", "rollback", "health", "window", "balancer", "member"];
const classes = { health: "s-degraded", override: "s-drain", release: "s-up", rollback: "s-degraded", canary: "s-drain", window: "s-drain", breaker: "s-down", balancer: "s-unknown" };

// eventItem is an event as a keyed list takes it: its key, and what makes its line.
export function eventItem(e) {
  const at = new Date(e.at);
  return {
    key: `${e.at} ${e.kind} ${e.site || ""} ${e.text}`,
    make: () => el("li", el("time", at.toLocaleString([], { hour12: false })), el("span.kind." + (classes[e.kind] || "s-up"), el("span.mark"), e.kind), el("span", ...words(e))),
  };
}

function words(e) {
  const out = [];
  if (e.site) out.push(el("b", e.site), " ");
  out.push(e.revision ? `revision ${e.revision}: ${e.text}` : e.text);
  if (e.node && e.kind === "balancer") out.push(el("span.quiet", ` (${e.node})`));
  if (e.who) out.push(el("span.quiet", ` by ${e.who}`));
  if (e.why) out.push(el("span.quiet", `: ${e.why}`));
  return out;
}

function path() {
  const q = new URLSearchParams({ limit: most });
  for (const k of ["kind", "site", "since"]) if (byId(`events-${k}`).value) q.set(k, byId(`events-${k}`).value);
  return `/api/v1/events?${q}`;
}

const look = fresh(path, every, (list) => show(list.map(eventItem), list.length === most ? `The newest ${most}; gslb events has more.` : ""), (e) => show([{ key: "lost", none: `The time line cannot be read: ${e.message}` }]));

// drawEvents asks for the newest events, when something may have changed or a while has passed.
export function drawEvents(s) {
  options(byId("events-kind"), ["every kind", ...kinds]);
  options(byId("events-site"), ["every site", ...s.sites.map((x) => x.site)]);
  look([path(), s.topology, s.sites.map((x) => [x.state, x.override, x.down_for]), s.held_changes, s.held_sites]);
}

// options offers words in a select, the first for all.
function options(select, words) {
  const value = select.value;
  once(select, words, () => words.map((w, i) => Object.assign(el("option", w), { value: i ? w : "" })));
  if (words.includes(value)) select.value = value;
}

export function setupEvents(again) {
  byId("events-form").addEventListener("change", again);
  byId("events-form").addEventListener("submit", (e) => e.preventDefault());
}

function show(list, more) {
  const items = list.length ? list : [{ key: "none", none: "Nothing that fits happened." }];
  if (more) items.push({ key: "more", none: more });
  keyed(byId("events"), items, (e) => e.key, (e) => (e.make ? e.make() : el("li.none", e.none)), () => {});
}
