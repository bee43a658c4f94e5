// The balancers of all sites: this node's frontends, and what others report of theirs.
import { byId, el, keyed, once, text, attr, ago, short, percent, took, known, stacked, table, pill, setPill, bar, setBar, button } from "./dom.js";
import { call, fresh } from "./api.js";
import { eventItem } from "./events.js";

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

// groups are this node's frontends, then those that other balancers report, in the same form.
function groups(status) {
  const own = status.frontends.map((f) => ({ ...f, node: status.node.name, own: true, key: [f.site, f.name, status.node.name].join("\0") }));
  const all = new Map(own.map((f) => [f.key, f]));
  for (const s of status.sites) {
    for (const r of s.reports || []) {
      const about = new Map((r.frontends || []).map((f) => [f.name, f]));
      for (const v of r.servers || []) {
        const key = [s.site, v.frontend, r.node].join("\0");
        if (own.some((f) => f.key === key)) continue;
        const f = about.get(v.frontend) || {};
        if (!all.has(key)) all.set(key, { key, site: s.site, name: v.frontend, node: r.node, at: r.at, plane: f.plane, plane_why: f.why, pick: f.pick, servers: [] });
        const t = v.traffic || {};
        all.get(key).servers.push({ ...v, rate: t.rate, load: t.load, queued: t.queued, ejections: t.ejections, first_byte: t.median, first_byte_p99: t.p99 });
      }
    }
  }
  return [...all.values()];
}

const heads = ["Server", "State", "#Open", "#New/s", "#Waiting", "#Load", "#First byte", "#99 %", "#Ejected"];

export function drawServers(status) {
  const list = groups(status);
  const box = byId("frontends");
  const nodes = new Map(status.nodes.map((n) => [n.name, n]));
  if (!list.length) return once(box, "none", () => el("p.empty", "No balancer reports any server: none of the nodes has the role balancer, or none is alive."));
  box.shown = null;
  keyed(box, list, (f) => f.key, make, (e, f) => {
    const [title, about, body] = e.children;
    text(title.children[0], `${f.site || "no site"} / ${f.name}`);
    const old = status.stale && !f.own; // what another node said before the store was lost
    text(title.children[1], old ? "last known" : "");
    e.classList.toggle("old", old);
    text(title.children[2], f.plane || "");
    title.children[2].hidden = !f.plane;
    attr(title.children[2], "title", f.plane_why || null);
    const open = f.connections ?? f.servers.reduce((n, v) => n + v.connections, 0);
    const rate = f.servers.reduce((n, v) => n + (v.rate || 0), 0);
    const what = [`${short(open)} connections`, `${short(rate)} new/s`, f.pick && `pick ${f.pick}`, (f.listen || []).join(" "), f.own ? "" : `by ${f.node}`, f.failed && `${short(f.failed)} refused`, f.panic && "PANIC: no server is available, all are tried"];
    text(about.children[0], what.filter(Boolean).join(" · "));
    text(about.children[1], f.plane_why ? ` · ${f.plane_why}` : "");
    const url = (nodes.get(f.node) || {}).console;
    once(about.children[2], [url, f.own], () => (!f.own && /^https?:\/\//.test(url || "") ? Object.assign(el("a", `The console of ${f.node}`), { href: `${url}#servers` }) : []));
    keyed(body.tBodies[0], f.servers, (v) => v.address, row, (tr, v) => update(tr, v, status.now));
  });
}

function make() {
  const t = stacked(heads, []).firstChild;
  return el("article.frontend", el("h3", el("span"), el("span.quiet.small"), el("span.tag")), el("p.quiet.small", el("span"), el("span"), el("span.link")), t);
}

function row() {
  const tr = el("tr", el("td", el("span.mono"), el("div.quiet.small.detail")), el("td", pill()), el("td.num"), el("td.num"), el("td.num"), el("td.num", el("span"), bar()), el("td.num"), el("td.num"), el("td.num"));
  [...tr.cells].forEach((td, i) => { td.dataset.head = heads[i].replace("#", ""); });
  return tr;
}

function update(tr, v, now) {
  const [name, state, open, rate, waits, load, first, p99, ejected] = tr.cells;
  text(name.children[0], v.address);
  const d = v.drain;
  const left = d ? `${d.left} of ${d.begun} connections left${known(d.until) ? `, reset in ${ago(now, d.until)}` : ""}` : "";
  text(name.children[1], [left, v.state === "up" && !v.isolated && !d ? "" : v.detail].filter(Boolean).join(" · "));
  setPill(state.children[0], serverLook(v));
  text(open, short(v.connections));
  attr(open, "title", "open connections" + (v.capacity ? ` of ${short(v.capacity)} it can take well` : ""));
  text(rate, v.rate === undefined ? "–" : short(v.rate));
  text(waits, v.queued || "–");
  text(load.children[0], v.load ? percent(v.load) : "–");
  load.children[1].hidden = !v.load;
  setBar(load.children[1], v.load || 0, 1);
  text(first, took(v.first_byte));
  text(p99, took(v.first_byte_p99));
  text(ejected, v.ejections ? `${v.ejections}×` : "–");
}

// The balancers' events are in the fleet's time line.
const incidents = fresh("/api/v1/events?kind=balancer&limit=50", 5000, (list) => showIncidents(list.map(eventItem)), (e) => showIncidents([{ key: "lost", none: `They cannot be read: ${e.message}` }]));

function showIncidents(list) {
  keyed(byId("incidents"), list.length ? list : [{ key: "none", none: "Nothing so far." }], (e) => e.key, (e) => e.make ? e.make() : el("li.none", e.none), () => {});
}

export function drawIncidents(status) {
  incidents(status.sites.map((s) => (s.reports || []).map((r) => (r.servers || []).map((v) => [v.in_service, v.state]))));
}

// Who connects: the same as gslb connections --top.
export function setupClients() {
  byId("clients-form").addEventListener("submit", (e) => {
    e.preventDefault();
    clients();
  });
}

async function clients() {
  const by = byId("clients-by").value, box = byId("clients");
  try {
    const l = await call("GET", `/api/v1/connections?${new URLSearchParams({ top: by, limit: 20 })}`);
    const top = l.top || [];
    box.replaceChildren(el("p.quiet.small", `${short(l.matching)} connections are open.`),
      ...(top.length ? [table([by === "network" ? "Network" : by, "Where", "#Open", "#In", "#Out"], top.map((g) => [el("span.mono", g.of), g.place || "–", short(g.open), bytes(g.bytes_up), bytes(g.bytes_down)]))] : []));
  } catch (e) {
    box.replaceChildren(el(e.status === 404 ? "p.empty" : "p.error", e.status === 404 ? "This node has no balancer. The console of a node that has one shows who connects there; the links are above." : e.message));
    if (e.status === 401) box.append(token());
  }
}

// token asks for the token of [api]: addresses of clients are not for everybody.
function token() {
  const input = Object.assign(el("input"), { type: "password", autocomplete: "off", placeholder: "token of [api]" });
  input.setAttribute("aria-label", "Token");
  return el("p.line", input, button("Use it", null, () => { sessionStorage.setItem("token", input.value); clients(); }));
}

const bytes = (n) => `${short(n || 0)}B`;
