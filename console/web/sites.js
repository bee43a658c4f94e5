// The table of sites: what each is, why, and what an operator can do.
import { byId, el, keyed, text, attr, ago, span, short, percent, pill, setPill, bar, setBar, stateOf } from "./dom.js";

const many = 10; // sites, from which on there is a field to find some by
const find = byId("site-find");
let last = [];
find.addEventListener("input", () => drawSites(...last));

// drawSites fills the table. rates has answers per second by site, or is null
// before the second poll; order(site, clear) opens the dialog.
export function drawSites(status, rates, order) {
  last = [status, rates, order];
  find.hidden = status.sites.length < many;
  const words = find.hidden ? [] : find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = status.sites.filter((s) => words.every((w) => told(s).includes(w)));
  text(byId("site-count"), words.length ? `${found.length || "none"} of ${status.sites.length}` : "");
  keyed(byId("site-rows"), found, (s) => s.site, makeRow, (tr, s) => {
    tr.order = () => order(tr.site, Boolean(tr.site.override));
    tr.site = s;
    updateRow(tr, s, status.now, rates);
  });
}

// told is what the row of a site says, to find it by.
function told(s) {
  return [s.site, s.cname, ...(s.addresses || []), stateOf(s).word, s.why, s.override && s.override.who, elsewhere(s)].join(" ").toLowerCase();
}

function makeRow() {
  const button = el("button");
  const tr = el("tr",
    el("td.c-site", el("b"), el("div.quiet.small")),
    el("td.c-state", pill(), el("div.quiet.small")),
    el("td.c-why", el("span"), el("div.quiet.small")),
    el("td.c-load", el("div"), bar(), el("div.quiet.small")),
    el("td.c-votes", el("div.votes"), el("div.quiet.small")),
    el("td.c-rate", el("div"), el("div.quiet.small")),
    el("td.c-do", button));
  button.type = "button";
  button.addEventListener("click", () => tr.order());
  return tr;
}

function updateRow(tr, s, now, rates) {
  const [name, state, why, load, votes, rate, act] = tr.children;
  const look = stateOf(s);
  text(name.children[0], s.site);
  text(name.children[1], s.cname || (s.addresses || []).join(" ") || " ");
  setPill(state.children[0], look);
  text(state.children[1], `for ${ago(s.since, now)}`);
  // An order is told once: s.why would repeat it, and the rest of it stands in the other columns.
  text(why.children[0], s.override ? overrideText(s.override, now) : s.why);
  attr(why.children[0], "class", s.override ? "order" : null);
  attr(why, "title", s.override && s.why);
  text(why.children[1], s.drain ? s.drain.text : elsewhere(s));
  setLoad(load, s);
  setVotes(votes, s, now);
  text(rate.children[0], rates ? `${short(rates.get(s.site) || 0)}/s` : "–");
  text(rate.children[1], rates ? percent((rates.get(s.site) || 0) / (rates.all || 1)) : " ");
  text(act.firstChild, s.override ? (s.override.kind === "drain" ? "Undrain" : "Take back") : "Drain …");
  attr(act.firstChild, "aria-label", `${act.firstChild.textContent.replace(" …", "")} ${s.site}`);
}

function setLoad(cell, s) {
  const known = s.capacity > 0;
  text(cell.children[0], known ? `${short(s.load)} of ${short(s.capacity)} · ${percent(s.load / s.capacity)}` : s.load > 0 ? short(s.load) : "not reported");
  setBar(cell.children[1], s.load, s.capacity);
  const healthy = (s.reports || []).reduce((n, r) => [n[0] + r.healthy, n[1] + r.total], [0, 0]);
  const notes = [];
  if (healthy[1]) notes.push(`${healthy[0]} of ${healthy[1]} servers`);
  if (s.shed > 0) notes.push(`sheds ${percent(s.shed)}`);
  if (s.withheld > 0 && !s.override) notes.push(`slow start: ${percent(s.withheld)} go elsewhere`);
  text(cell.children[2], notes.join(" · ") || " ");
}

function setVotes(cell, s, now) {
  const list = s.votes || [];
  keyed(cell.children[0], list, (v) => v.vantage, () => el("span.vote", el("span.mark")), (e, v) => {
    attr(e, "class", "vote " + stateOf({ state: v.state }).cls);
    attr(e, "title", `${v.vantage}: ${v.state} for ${ago(v.since, now)}${v.detail ? `: ${v.detail}` : ""}`);
  });
  const counts = ["down", "degraded", "unknown", "up"].map((st) => [list.filter((v) => v.state === st).length, st]).filter(([n]) => n);
  text(cell.children[1], counts.length === 1 ? `all ${counts[0][1]}` : counts.map(([n, st]) => `${n} ${st}`).join(", ") || "no vote");
}

// elsewhere tells for whom alone the site is down.
function elsewhere(s) {
  return Object.values(s.down_for || {}).join("; ");
}

export function overrideText(o, now) {
  const verb = { drain: "Drained", up: "Forced up", down: "Forced down" }[o.kind] || o.kind;
  const end = o.until && !o.until.startsWith("0001-") ? `for another ${span((Date.parse(o.until) - Date.parse(now)) / 1000)}` : "until it is taken back";
  return `${verb} by ${o.who || "someone"}, ${end}${o.why ? `: ${o.why}` : ""}`;
}
