// Sites that are to get no new users: who still connects, when each is likely to be empty, and whether it can be switched off.
import { byId, el, keyed, once, text, ago, span, short, known, table, pill, setPill, button } from "./dom.js";

// drawDrains shows them; order(site) opens the dialog that takes the order back.
export function drawDrains(s, order) {
  const list = s.sites.filter((x) => x.drain);
  byId("drains").hidden = !list.length;
  keyed(byId("drain-list"), list, (x) => x.site, make, (e, x) => {
    const p = x.drain, c = p.clients;
    e.order = () => order(x, true);
    text(e.children[0].children[0], x.site);
    setPill(e.children[0].children[1], p.safe ? { cls: "s-up", word: p.prediction ? "likely empty" : "safe to power off" } : { cls: "s-drain", word: "emptying" });
    e.children[0].children[2].hidden = !x.override;
    text(e.children[1], p.text);
    once(e.children[2], [c && c.open, c && c.new, c && c.long, p.empty && Math.round(Date.parse(p.empty) / 5000), p.safe], () => facts(p, s.now));
    once(e.children[3], c && [c.groups, c.rest, c.oldest && c.oldest.map((o) => o.client)], () => (c ? clients(c) : []));
  });
}

function make() {
  const e = el("article.card-box", el("h3", el("span"), pill()), el("p"), el("dl.facts-row"), el("div"));
  e.firstChild.append(button("Cancel …", "Cancel the drain", () => e.order(), "button.small-button"));
  return e;
}

function facts(p, now) {
  const c = p.clients, rows = [];
  if (c) rows.push(["Open", short(c.open)], ["New since", short(c.new)], ["Quiet for", span(c.quiet_ns / 1e9)]);
  rows.push(["Empty", p.safe ? "now" : known(p.empty) ? `in about ${ago(now, p.empty)}` : "cannot be told yet"]);
  return rows.map(([name, value]) => el("div", el("dt", name), el("dd", value)));
}

function clients(c) {
  const who = (g) => [g.operator, g.country].filter(Boolean).join(", ") || "unknown networks";
  const groups = (c.groups || []).filter((g) => g.open || g.new);
  const out = [];
  if (groups.length) {
    out.push(table(["Who still connects", "#Open", "#New", "Networks"], groups.map((g) => [who(g), short(g.open), short(g.new), (g.networks || []).join(", ") + (g.more ? ` and ${g.more} more` : "")])));
    if (c.rest) out.push(el("p.quiet.small", `and ${c.rest} more operators and countries`));
  }
  const oldest = (c.oldest || []).slice(0, 3);
  if (oldest.length) out.push(el("p.quiet.small", `The oldest that are open: ${oldest.map((o) => `${o.client} (${who(o)}) for ${span(o.age_ns / 1e9)}`).join("; ")}`));
  return out.length ? out : el("p.quiet.small", "Nobody has connected since.");
}
