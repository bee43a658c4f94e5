// The page: asks the node for its status each second and shows it.
import { byId, el, keyed, text, attr, once, table, ago, span, short, percent, stateOf } from "./dom.js";
import { drawMap } from "./map.js";
import { drawSites } from "./sites.js";
import { drawServers, drawIncidents, setupClients } from "./servers.js";
import { drawAnnounced } from "./announced.js";
import { drawHeld } from "./held.js";
import { drawDrains } from "./drains.js";
import { drawVantage } from "./vantage.js";
import { drawWhatIf, setupWhatIf } from "./whatif.js";
import { canaryOn, drawRollout, setupRollout } from "./rollout.js";
import { drawReleases } from "./releases.js";
import { openOrder } from "./order.js";
import { call } from "./api.js";
import { setupTry, fillNames } from "./decision.js";
import { drawEvents, setupEvents } from "./events.js";
import { badge, setupViews, shown } from "./views.js";

const every = 1000; // milliseconds between polls
const patience = 5000; // until a poll is given up
let last = null, lastAt = 0, rates = null, changes = null;

async function poll() {
  try {
    const response = await fetch("/api/v1/status", { cache: "no-store", signal: AbortSignal.timeout(patience) });
    if (!response.ok) throw new Error(`the node answered ${response.status}`);
    show(await response.json());
    document.body.classList.remove("lost");
  } catch (e) {
    lost(e);
  }
}

async function loop() {
  for (;;) {
    if (!document.hidden) await poll();
    await new Promise((go) => setTimeout(go, every));
  }
}

function lost(e) {
  document.body.classList.add("lost");
  setVerdict("s-down", "No contact with the node");
  text(byId("fact-live"), last ? `${span((Date.now() - lastAt) / 1000)} ago` : "never");
  attr(byId("fact-live"), "title", e.message);
}

function show(status) {
  if (last && last.node.started !== status.node.started) last = null; // restarted: its counters begin anew
  rates = rate(last, status) || (last && rates);
  note(last, status);
  last = status;
  lastAt = Date.now();
  drawHead(status);
  fillNames(status);
  drawView();
}

// views draw what they show; the others cost nothing.
const views = {
  overview(s) {
    const order = (site, clear) => openOrder(site, clear, last, rates, poll);
    drawHeld(s, poll);
    drawProblems(s);
    drawMap(s);
    drawDrains(s, order);
    drawSites(s, rates, order);
  },
  servers(s) {
    drawServers(s);
    drawAnnounced(s);
    drawIncidents(s);
  },
  health: drawVantage,
  "what-if": drawWhatIf,
  rollout(s) {
    drawRollout(s, poll);
    drawReleases(s, poll);
  },
  "time-line": drawEvents,
  zones(s) {
    drawNames(s);
    drawNodes(s);
  },
};

function drawView() {
  if (last) views[shown()](last);
}

// rate gives answers per second by site (the sum of all names), with .all and
// .queries; null when the two polls can't be compared.
function rate(before, now) {
  if (!before) return null;
  const seconds = (Date.parse(now.now) - Date.parse(before.now)) / 1000;
  if (!(seconds > 0.2)) return null;
  const per = new Map();
  per.all = 0;
  for (const [name, sites] of Object.entries(now.counters.choices)) {
    for (const [site, n] of Object.entries(sites)) {
      const more = Math.max(0, n - ((before.counters.choices[name] || {})[site] || 0)) / seconds;
      per.set(site, (per.get(site) || 0) + more);
      per.all += more;
    }
  }
  per.queries = Math.max(0, now.counters.queries - before.counters.queries) / seconds;
  return per;
}

// clock tells when something was: the time, or the date when that is long ago.
function clock(then, now) {
  const at = new Date(then);
  return Date.parse(now) - at < 12 * 3600e3 ? at.toLocaleTimeString([], { hour12: false }) : at.toLocaleDateString([], { month: "short", day: "numeric" });
}

// past is what the first poll tells of the time before: since when all is as it is.
function past(now) {
  const known = (t) => t && !t.startsWith("0001-");
  const all = now.sites.map((s) => [s.draining && s.override ? s.override.since : s.since, `${s.site}: ${stateOf(s).word}`, stateOf(s).cls]);
  all.push(...now.nodes.map((n) => [n.since, `node ${n.name} started`, "s-unknown"]));
  all.push(...now.geo.filter((d) => d.error).map((d) => [d.since, `${fileOf(d)}: new file refused`, "s-degraded"]));
  return all.filter(([at]) => known(at)).sort((a, b) => Date.parse(b[0]) - Date.parse(a[0]))
    .map(([at, what, cls]) => ({ key: `${at} ${what}`, at: clock(at, now.now), what, cls })).slice(0, 100);
}

// note keeps what changed between two polls, the newest first.
function note(before, now) {
  changes = changes || past(now);
  if (!before) return;
  const add = (what, cls) => changes.unshift({ key: `${now.now} ${what}`, at: clock(now.now, now.now), what, cls });
  const old = new Map(before.sites.map((s) => [s.site, s]));
  for (const s of now.sites) {
    const was = old.get(s.site);
    if (!was) add(`${s.site} appeared`, "s-unknown");
    else if (stateOf(was).word !== stateOf(s).word) add(`${s.site}: ${stateOf(was).word} → ${stateOf(s).word}`, stateOf(s).cls);
    old.delete(s.site);
  }
  for (const name of old.keys()) add(`${name} was taken out`, "s-unknown");
  if (before.stale !== now.stale) add(now.stale ? "The store was lost" : "The store is back", now.stale ? "s-down" : "s-up");
  changes = changes.slice(0, 100);
}

function setVerdict(cls, words) {
  const v = byId("verdict");
  attr(v, "class", "verdict " + cls);
  text(v.lastElementChild, words);
}

// verdict is the whole state in one short sentence.
function verdict(s) {
  const out = s.sites.filter((x) => x.state === "down");
  const drained = s.sites.filter((x) => x.draining && x.state !== "down");
  const n = s.sites.length;
  if (!n) return ["s-unknown", "No sites configured"];
  if (out.length === n) return ["s-down", "Every site is down"];
  if (out.length) return ["s-down", `${out.length} of ${n} sites down`];
  if (s.stale) return ["s-degraded", "Last known state: the store is lost"];
  if (drained.length) return ["s-drain", `${drained.length} of ${n} sites draining`];
  if (s.problems.length) return ["s-degraded", `All ${n} sites in service, ${s.problems.length} problem${s.problems.length > 1 ? "s" : ""}`];
  return ["s-up", `All ${n} sites in service`];
}

function drawHead(s) {
  setVerdict(...verdict(s));
  text(byId("node"), s.node.name);
  text(byId("node-about"), `${s.node.version} · ${s.node.roles.join(", ")} · up ${ago(s.node.started, s.now)}`);
  document.title = `${s.sites.filter((x) => x.state === "down").length ? "✗ " : ""}${s.node.name} – gslb`;
  text(byId("fact-rate"), rates ? `${short(rates.queries)}/s` : "–");
  text(byId("fact-total"), `${short(s.counters.queries)} in all`);
  attr(byId("fact-rate").parentElement, "title", `${s.counters.queries} since the start: ` +
    Object.entries(s.counters.answers).map(([code, n]) => `${code} ${n}`).join(", "));
  text(byId("fact-revision"), s.revision);
  const e = s.etcd;
  text(byId("fact-etcd"), e.connected ? (e.embedded ? "embedded" : "connected") : `lost ${ago(e.since, s.now)}`);
  attr(byId("fact-etcd"), "title", `${e.endpoints.join(" ")} revision ${e.revision} ${e.error || ""}`);
  byId("fact-etcd").classList.toggle("error", !e.connected);
  badge("overview", s.held_changes || s.held_sites ? "held" : "");
  badge("rollout", s.topology.head.canary ? "canary" : "");
  badge("health", s.sites.some((x) => x.down_for) ? "!" : "");
  text(byId("fact-live"), "live");
  attr(byId("fact-live"), "title", null);
}

function drawProblems(s) {
  const list = s.problems.length ? s.problems : ["Nothing needs you."];
  text(byId("problem-count"), s.problems.length);
  byId("problem-count").classList.toggle("bad", s.problems.length > 0);
  keyed(byId("problems"), list, (p) => p, () => el("li"), (li, p) => {
    text(li, p);
    li.classList.toggle("none", !s.problems.length);
  });
  keyed(byId("changes"), changes.length ? changes : [{ key: "", at: "", what: "None so far." }], (c) => c.key, (c) => el("li" + (c.at ? "" : ".none"), el("time", c.at), el("span." + (c.cls || "quiet"), el("span.mark"), c.what)), () => {});
}

// moves tells how a zone moves between servers.
function moves(t) {
  if (!t) return "–";
  const parts = [t.role];
  if (t.primary) parts.push(`from ${t.primary}`);
  if (t.sent) parts.push(`sent ${t.sent}×`);
  if (t.updates) parts.push(`${t.updates} updates`);
  return parts.join(", ");
}

function drawNames(s) {
  const box = byId("steered");
  const share = (name) => {
    const all = Object.entries(s.counters.choices[name] || {}).sort((a, b) => b[1] - a[1]);
    const sum = all.reduce((n, [, v]) => n + v, 0);
    if (!sum) return "–"; // nothing was asked yet
    return all.slice(0, 6).map(([site, n]) => `${site} ${percent(n / sum)}`).join(", ");
  };
  // What clients got in the last minutes, and what their policy gives to such clients in the long run.
  const lately = (split) => {
    if (!split) return "–"; // too few to tell
    const sites = [...new Set([...Object.keys(split.got), ...Object.keys(split.expected)])];
    return sites.sort((a, b) => (split.expected[b] || 0) - (split.expected[a] || 0) || (a < b ? -1 : 1)).slice(0, 6)
      .map((site) => `${site} ${percent(split.got[site] || 0)} (${percent(split.expected[site] || 0)})`).join(", ");
  };
  once(box, s.steered.map((n) => [n, share(n.name)]), () => s.steered.length
    ? table(["Name", "Answer", "#TTL", "#Cohorts", "Chosen so far", "Lately (expected)"], s.steered.map((n) => [n.name, n.alias ? `ALIAS ${n.alias}` : n.form, `${n.ttl}s`, String(n.cohorts), share(n.name), lately(n.split)]))
    : el("p.quiet", "None."));
  once(byId("zones"), s.zones, () => s.zones.length
    ? table(["Zone", "#Serial", "#Names", "Moves", "Signed"], s.zones.map((z) => [z.name, String(z.serial), String(z.names), moves(z.transfer), z.dnssec ? (z.dnssec.came_signed ? "as it came" : "here") : "–"])
      .concat(s.all_zones.zones > s.zones.length ? [[`and ${s.all_zones.zones - s.zones.length} more`, "", "", "", ""]] : []))
    : el("p.quiet", "This node serves none."));
  drawKeys(s);
}

// drawKeys shows the keys of the zones that are signed here. What has no moment waits for somebody.
function drawKeys(s) {
  const given = (t) => Boolean(t) && !t.startsWith("0001-");
  const next = (k) => (k.next ? k.next + (given(k.at) ? ` in ${ago(s.now, k.at)}` : "") : "–");
  const rows = s.zones.flatMap((z) => (z.dnssec ? z.dnssec.keys || [] : []).map((k) => [z.name, `${k.role} ${k.tag}`, k.algorithm, k.state, next(k)]));
  const notes = s.zones.filter((z) => z.dnssec && !z.dnssec.came_signed).flatMap((z) => {
    const d = z.dnssec;
    return [
      `${z.name} ${d.signatures} signatures` + (given(d.renewal) ? `, the first to be renewed in ${ago(s.now, d.renewal)}` : ""),
      d.compact && `${z.name} compact denial: a name that does not exist has a proof of its own, as far as dns.compact_share goes`,
      d.progress && `${z.name} ${d.progress}`,
      d.waiting && `${z.name} DS for the parent: ${(d.ds || []).join(", ")}`,
      d.parent && `${z.name} ${d.parent}`,
    ].filter(Boolean);
  });
  byId("keys-part").hidden = !rows.length;
  once(byId("keys"), [rows, notes], () => [
    table(["Zone", "Key", "Algorithm", "State", "Next"], rows.map((r) => r.map((c, i) => (i === 4 && c.startsWith("waits") ? el("span.error", c) : c)))),
    ...notes.map((n) => el("p.quiet.small", n)),
  ]);
}

const fileOf = (database) => database.path.split("/").pop();

function drawNodes(s) {
  // Without the store nobody knows whether another node lives.
  const alive = (n) => (s.stale && !n.self ? "last known" : ago(n.since, s.now));
  const follow = s.nodes.some((n) => n.follows);
  const served = (n) => (n.follows ? `revision ${n.revision}${n.wanted ? `, not ${n.wanted}: ${n.problem}` : ""}` : "its own file");
  const rows = s.nodes.map((n) => [n.name + (n.self ? " (this one)" : ""), n.roles.join(", "), alive(n)].concat(follow ? [served(n)] : []));
  const canary = s.topology.head.canary;
  once(byId("nodes"), [rows, canary], () => rows.length
    ? [table(["Name", "Roles", "Alive for"].concat(follow ? ["Topology"] : []), rows), canary && el("p.quiet.small", `Revision ${canary.number} is a canary on ${canaryOn(canary)}, by ${canary.who}: ${canary.why}`)].filter(Boolean)
    : el("p.quiet", "None is known."));
  const refused = (d) => `new file refused${(d.since || "0001-").startsWith("0001-") ? "" : ` ${ago(d.since, s.now)} ago`}, the one read before stays: ${d.error}`;
  once(byId("geo"), s.geo.map((d) => [d, d.error && refused(d)]), () => s.geo.length
    ? table(["Database", "Type", "Built", "State"], s.geo.map((d) => [
      fileOf(d), d.type, (d.built || "").startsWith("0001-") ? "–" : (d.built || "–").slice(0, 10),
      el(d.error ? "span.error" : "span", d.error ? refused(d) : "in use")]))
    : el("p.quiet", "No database: places come from the configuration alone."));
}

setupTry(call);
setupClients();
setupWhatIf();
setupRollout();
setupEvents(drawView);
setupViews(drawView);
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
loop();
