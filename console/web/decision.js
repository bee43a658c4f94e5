// "Try it": one decision, shown as the way it went: place, rule, tiers, answer.
import { byId, el, once, attr, pill, setPill, table, percent, stateOf } from "./dom.js";
import { showWay } from "./map.js";

let call = null, asked = 0;

export function setupTry(api) {
  call = api;
  byId("try-form").addEventListener("submit", (e) => {
    e.preventDefault();
    explain();
  });
  const q = new URLSearchParams(location.hash.slice(1)); // a decision can be linked to
  for (const k of ["name", "client", "type"]) if (q.has(k)) byId(`try-${k}`).value = q.get(k);
  if (q.has("name")) explain();
  else byId("try-result").append(el("p.quiet", "Ask for a steered name as a user of any address would."));
}

// fillNames offers the steered names, and the first of them as the start.
export function fillNames(status) {
  const names = status.steered.map((n) => n.name);
  once(byId("try-names"), names, () => names.map((n) => {
    const o = el("option");
    o.value = n;
    return o;
  }));
  const input = byId("try-name");
  if (!input.value && !input.touched && names.length) {
    input.value = names[0];
    input.touched = true;
  }
}

async function explain() {
  const turn = ++asked;
  const q = new URLSearchParams();
  for (const k of ["name", "client", "type"]) {
    const v = byId(`try-${k}`).value.trim();
    if (v) q.set(k, v);
  }
  history.replaceState(null, "", "#" + q);
  const box = byId("try-result");
  try {
    const decision = await call("GET", "/api/v1/explain?" + q);
    if (turn !== asked) return; // another was asked for meanwhile
    box.replaceChildren(...show(decision));
    const t = decision.trace;
    showWay(t && t.place.has_location ? t.place.location : null, t && t.choice ? t.choice.site : null);
  } catch (e) {
    if (turn !== asked) return;
    box.replaceChildren(el("p.error", e.message));
    showWay(null, null);
  }
}

function show(d) {
  const t = d.trace;
  if (!t) return [el("p.sentence", `${d.name} isn't steered: every client gets the same.`), el("div.steps", answer(d))];
  return [el("p.sentence", t.sentence), el("div.steps", place(d, t), rules(t), tiers(t), answer(d))];
}

const step = (n, title, ...rest) => el("section.step", el("h3", el("b", String(n)), title), ...rest);

function facts(rows) {
  const dl = el("dl");
  for (const [name, value] of rows) if (value) dl.append(el("dt", name), el("dd", value));
  return dl;
}

function place(d, t) {
  const p = t.place;
  const where = [p.city, (p.subdivision || []).filter(Boolean).join(" "), p.country, p.continent].filter(Boolean);
  return step(1, "Where is the client?",
    el("p.big", where.join(", ") || "Place unknown"),
    facts([
      ["Client", el("span.mono", d.client)],
      ["Operator", p.isp || p.organization || p.as_org],
      ["ASN", p.asn && `AS${p.asn}${p.as_org && p.as_org !== p.isp ? ` ${p.as_org}` : ""}`],
      ["Location", p.has_location && `${p.location.latitude.toFixed(2)}, ${p.location.longitude.toFixed(2)}`],
      ["Within", t.within && el("span.mono", t.within)],
      ["Cohort", String(t.cohort)],
    ]));
}

function rules(t) {
  return step(2, "Which rule matches?", el("ul", ...(t.rules || []).map((r) =>
    el(r.matched ? "li.yes" : "li.no", el("b", r.implicit ? "No rule left" : `Rule ${r.rule}`), `: ${r.why}`))));
}

function tiers(t) {
  const all = (t.tiers || []).flatMap((tier) => tier.members || []);
  const far = all.some((m) => m.distance_km !== undefined && m.distance_km !== null);
  const box = table(["Site", "State", far ? "#Distance" : "#Weight", "#Share"], []);
  const list = box.firstChild;
  list.className = "members";
  list.tBodies[0].remove();
  for (const tier of t.tiers || []) list.append(tierRows(tier, far));
  return step(3, "Which site of its tiers?", box, ...(t.draws || []).map((x) => el("p.quiet.small", x)),
    t.stale ? el("p.error", "The states are the last known: the store is lost.") : null);
}

// tierRows is one tier: its heading and a row for each member, the preferred first.
function tierRows(tier, far) {
  const list = tier.members || [];
  const head = el("th.group", el("b", tier.last_resort ? `Last resort ${tier.tier}` : `Tier ${tier.tier}`), ` ${tier.label} `,
    el("span.quiet", `by ${tier.pick}${tier.spread ? ", place unknown: spread by hash" : ""}`));
  head.colSpan = 4;
  head.scope = "rowgroup";
  return el(list.some((m) => m.share > 0 || m.chosen) ? "tbody" : "tbody.unused", el("tr", head), ...list.map((m) => {
    const state = pill(), look = stateOf(m);
    setPill(state, look);
    attr(state, "title", m.why);
    const notes = [m.verdict !== look.word && m.verdict, m.shed > 0 && `sheds ${percent(m.shed)}`].filter(Boolean);
    return el(m.chosen ? "tr.chosen" : "tr", el("td", m.site), el("td", state, el("span.quiet.small", notes.join(", "))),
      el("td", far ? km(m) : String(m.weight)), el("td", m.share > 0 ? percent(m.share) : "–"));
  }));
}

function km(m) {
  if (m.distance_km === undefined || m.distance_km === null) return "–";
  const n = `${Math.round(m.distance_km)} km`;
  return m.bias_km ? `${n} ${m.bias_km > 0 ? "+" : "−"} ${Math.abs(m.bias_km)}` : n;
}

function answer(d) {
  const c = d.trace && d.trace.choice;
  const flags = c ? [c.fail_open && "failed open: no site was available", c.last_resort && "last resort", c.shed && "moved on by a full site"].filter(Boolean) : [];
  return step(d.trace ? 4 : 1, `What is answered to ${d.type}?`,
    c ? el("p.big", (c.sites || [c.site]).join(", ")) : null,
    ...(d.answer.length ? d.answer.map((rr) => el("p.rr", rr.replace(/\t/g, " "))) : [el("p.quiet", "No data of this type.")]),
    facts([["Holds for", d.scope ? el("span.mono", d.scope) : "every client"], ["Note", flags.join(", ")]]));
}
