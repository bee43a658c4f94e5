// The table of sites: what each is, why, and what an operator can do.
import { byId, el, keyed, text, attr, once, ago, span, short, percent, pill, setPill, bar, setBar, stateOf } from "./dom.js";

// drawSites fills the table. rates has answers per second by site, or is null
// before the second poll; order(site, clear) opens the dialog.
export function drawSites(status, rates, order) {
  keyed(byId("site-rows"), status.sites, (s) => s.site, makeRow, (tr, s) => {
    tr.order = () => order(tr.site, Boolean(tr.site.override));
    tr.site = s;
    updateRow(tr, s, status.now, rates);
  });
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
  text(why.children[1], s.drain ? drainText(s.drain, now) : "");
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

// drainText is how far a site is that is to get no new users.
function drainText(p, now) {
  const parts = [p.text];
  if (p.clients) {
    parts.push(`${short(p.clients.open)} open, ${short(p.clients.new)} new`);
    const most = (p.clients.groups || []).filter((g) => g.new || g.open).slice(0, 2);
    if (most.length) parts.push(`mostly from ${most.map((g) => [g.operator, g.country].filter(Boolean).join(", ") || "unknown networks").join("; ")}`);
  }
  if (p.empty) parts.push(`empty in about ${span((Date.parse(p.empty) - Date.parse(now)) / 1000)}`);
  return parts.join(" · ");
}

export function overrideText(o, now) {
  const verb = { drain: "Drained", up: "Forced up", down: "Forced down" }[o.kind] || o.kind;
  const end = o.until && !o.until.startsWith("0001-") ? `for another ${span((Date.parse(o.until) - Date.parse(now)) / 1000)}` : "until it is taken back";
  return `${verb} by ${o.who || "someone"}, ${end}${o.why ? `: ${o.why}` : ""}`;
}

// serverLook has the same table as serverText in text.go.
function serverLook(v) {
  const spare = v.role === "spare";
  if (v.draining) return { cls: "s-drain", word: "draining" };
  if (spare && v.in_service) return { cls: "s-up", word: "spare in service" };
  if (spare) return v.state === "down" ? { cls: "s-down", word: "spare, down" } : { cls: "s-unknown", word: "spare" };
  if (v.in_service && !v.isolated) return { cls: v.state === "degraded" ? "s-degraded" : "s-up", word: "in service" };
  if (v.state === "unknown" && !v.isolated) return { cls: "s-unknown", word: "not checked yet" };
  return { cls: "s-down", word: "isolated" };
}

// groups are this node's frontends, then those that other balancers report.
function groups(status) {
  const own = status.frontends.map((f) => ({ ...f, node: status.node.name, key: [f.site, f.name, status.node.name].join("\0") }));
  const all = new Map(own.map((f) => [f.key, f]));
  for (const s of status.sites) {
    for (const r of s.reports || []) {
      for (const v of r.servers || []) {
        const key = [s.site, v.frontend, r.node].join("\0");
        if (own.some((f) => f.key === key)) continue;
        if (!all.has(key)) all.set(key, { key, site: s.site, name: v.frontend, node: r.node, servers: [] });
        all.get(key).servers.push(v);
      }
    }
  }
  return [...all.values()];
}

export function drawServers(status) {
  const list = groups(status);
  const box = byId("frontends");
  once(box.parentElement.firstElementChild, list.length === 0, () => "Servers" + (list.length ? "" : ": no balancer reports any"));
  keyed(box, list, (f) => f.key, () => el("div.frontend", el("h3", el("span"), " ", el("span.known.quiet.small")), el("p.quiet.small"), el("ul")), (e, f) => {
    text(e.children[0].children[0], `${f.site} / ${f.name}`);
    const old = status.stale && f.node !== status.node.name; // what another node said before the store was lost
    text(e.children[0].children[1], old ? "last known" : "");
    e.classList.toggle("old", old);
    const open = f.connections ?? f.servers.reduce((n, v) => n + v.connections, 0);
    const what = [`${short(open)} connections`, f.pick, (f.listen || []).join(" ") || `by ${f.node}`];
    if (f.failed) what.push(`${short(f.failed)} failed`);
    text(e.children[1], what.filter(Boolean).join(" · "));
    keyed(e.children[2], f.servers, (v) => v.address, () => el("li", el("span.mono"), pill(), el("span.num"), el("span.detail.quiet.small")), (li, v) => {
      text(li.children[0], v.address);
      setPill(li.children[1], serverLook(v));
      text(li.children[2], short(v.connections));
      attr(li.children[2], "title", "open connections" + (v.capacity ? ` of ${short(v.capacity)} it can take well` : ""));
      text(li.children[3], v.state === "up" && !v.isolated ? "" : v.detail || "");
    });
  });
}
