// Verdicts: what each vantage point sees of each site, what its balancers say, and for whom alone it is down.
import { byId, el, keyed, once, text, attr, ago, stacked, pill, setPill, stateOf } from "./dom.js";

export function drawVantage(s) {
  const places = new Map(s.nodes.map((n) => [n.name, n]));
  const audience = new Map((s.audiences || []).flatMap((a) => a.vantages.map((v) => [v, a.name])));
  verdicts(s, places, audience);
  audiences(s);
  vantages(s, audience);
}

// interesting tells whether there is more to see of a site than that it is up.
const interesting = (x) => x.state !== "up" || Object.keys(x.down_for || {}).length > 0 || (x.votes || []).some((v) => v.state !== "up");

function verdicts(s, places, audience) {
  const box = byId("verdicts");
  if (!s.sites.length) return once(box, "none", () => el("p.empty", "No sites are configured."));
  box.shown = null;
  keyed(box, s.sites, (x) => x.site, (x) => {
    const e = el("details.verdict-row", el("summary", el("b"), pill(), el("span.votes"), el("span.why")), el("div"));
    e.open = interesting(x);
    return e;
  }, (e, x) => {
    const [name, state, marks, why] = e.firstChild.children;
    text(name, x.site);
    setPill(state, stateOf(x));
    keyed(marks, x.votes || [], (v) => v.vantage, () => el("span.vote", el("span.mark")), (m, v) => {
      attr(m, "class", "vote " + stateOf({ state: v.state }).cls);
      attr(m, "title", `${v.vantage}: ${v.state}`);
    });
    text(why, x.why);
    once(e.lastChild, [x.down_for, (x.votes || []).map((v) => [v.vantage, v.state, v.detail, audience.get(v.vantage)]), (x.reports || []).map((r) => [r.node, r.healthy, r.total])], () => evidence(x, s.now, places, audience));
  });
}

function evidence(x, now, places, audience) {
  const out = Object.values(x.down_for || {}).map((words) => el("p.error", words));
  const look = (v) => { const p = pill(); setPill(p, stateOf({ state: v.state })); return p; };
  const rows = (x.votes || []).map((v) => [v.vantage, (places.get(v.vantage) || {}).place || "–", audience.get(v.vantage) || "–", look(v), new Date(v.since).toLocaleString([], { hour12: false }), v.detail || "–"]);
  out.push(rows.length ? stacked(["Vantage point", "Stands in", "Audience", "Sees it", "Since", "Last change"], rows) : el("p.quiet", "No vantage point has a verdict: what is not known to be down stays in service."));
  for (const r of x.reports || []) if (r.total) out.push(el("p.quiet.small", `Its balancer ${r.node} says: ${r.healthy} of ${r.total} servers are healthy.`));
  return out;
}

function audiences(s) {
  const all = s.audiences || [];
  const down = (a) => s.sites.filter((x) => (x.down_for || {})[a.name]).map((x) => x.site).join(", ");
  once(byId("audiences"), [all, all.map(down)], () => all.length
    ? stacked(["Audience", "Who", "Vantage points", "Down for it alone"], all.map((a) => [el("b", a.name), a.who, a.vantages.length ? `${a.vantages.join(", ")}${a.vantages.length < a.min ? ` (${a.min} needed)` : ""}` : `none lives (${a.min} needed)`, down(a) ? el("span.error", down(a)) : "nothing"]))
    : el("p.empty", "None is configured: a site is down for everybody or for nobody. [[audience]] names users of an operator or a region."));
}

function vantages(s, audience) {
  const list = s.nodes.filter((n) => n.roles.includes("checker"));
  const count = (n, state) => s.sites.filter((x) => (x.votes || []).some((v) => v.vantage === n.name && v.state === state)).length;
  const says = (n) => n.blind ? `votes withdrawn: ${n.blind}` : ["down", "degraded", "up"].map((st) => [count(n, st), st]).filter(([c]) => c).map(([c, st]) => `${c} ${st}`).join(", ") || "no verdict";
  once(byId("vantages"), list.map((n) => [n.name, n.place, audience.get(n.name), says(n)]), () => list.length
    ? stacked(["Node", "Stands in", "Audience", "Says"], list.map((n) => [n.name, n.place || "–", audience.get(n.name) || "–", el(n.blind ? "span.error" : "span", says(n))]))
    : el("p.empty", "No live node is a checker."));
}
