// What the breaker holds: why, who would move, and the order that lets it through or drops it.
import { byId, el, keyed, once, text, ago, known, share, button } from "./dom.js";
import { call } from "./api.js";
import { give } from "./order.js";

// drawHeld shows what is held; after is called when an order was given.
export function drawHeld(s, after) {
  const list = (s.held_changes || []).map((h) => ({ ...h, key: h.what, title: `New ${h.what}` }));
  const held = s.held_sites;
  if (held) list.push({ ...held, key: "sites", what: "sites", title: held.sites.length === 1 ? "1 site that would go down" : `${held.sites.length} sites that would go down` });
  byId("held").hidden = !list.length;
  keyed(byId("held-list"), list, (h) => h.key, make, (e, h) => {
    e.held = h;
    e.after = after;
    text(e.children[0], h.title);
    text(e.children[1], `held for ${ago(h.since, s.now)}${known(h.until) ? `, let through in ${ago(s.now, h.until)} unless somebody decides before` : ", until somebody decides"}`);
    text(e.children[2], h.why);
    once(e.children[3], [h.moves, h.moved, h.sites], () => effect(h));
    const drop = e.children[4].children[1];
    drop.hidden = h.what !== "databases";
    text(e.children[5], h.what === "topology" ? "What was served before is served. To take it back: Rollout, roll back; or the file as it was."
      : h.what === "sites" ? "They stay in service meanwhile. To keep one there, force it up below." : "What was read before is used meanwhile.");
  });
}

function make() {
  const e = el("article.hold", el("h3"), el("p.quiet.small"), el("p"), el("div.effect"), el("div.buttons"), el("p.quiet.small"));
  e.children[4].append(
    button("Let through …", null, () => decide(e, "allow"), "button.primary"),
    button("Drop …", null, () => decide(e, "drop")));
  return e;
}

// effect is who would move: known for a change, and asked for where sites are held.
function effect(h) {
  if (h.moves && h.moves.length) {
    return el("ul.moves", ...h.moves.map((m) => el("li", el("b", m.site), ` ${share(m.share_before)} → ${share(m.share_after)} of users`)));
  }
  if (!h.sites) return [];
  const box = el("p.quiet", "Asking who would move …");
  call("GET", "/api/v1/simulate?" + new URLSearchParams(h.sites.map((x) => ["down", x]))).then(
    (c) => box.replaceWith(el("p", `${share(c.moved)} of users would move from `, el("b", h.sites.join(", ")), toWhom(c))),
    (e) => text(box, `Who would move is not known: ${e.message}`));
  return box;
}

function toWhom(c) {
  const won = c.sites.filter((x) => x.share_after - x.share_before > 0.0005).sort((a, b) => b.share_after - b.share_before - a.share_after + a.share_before);
  return won.length ? ` to ${won.slice(0, 4).map((x) => `${x.site} (+${share(x.share_after - x.share_before)})`).join(", ")}.` : ".";
}

function decide(e, what) {
  const h = e.held;
  give({
    title: what === "allow" ? `Let through: ${h.title.toLowerCase()}` : `Drop: ${h.title.toLowerCase()}`,
    effect: (what === "allow" ? "All nodes put in force what they hold at the moment. " : "All nodes forget the databases that they hold; those in use stay until a file is replaced again. ") + h.why,
    why: "needed", verb: what === "allow" ? "Let through" : "Drop",
    send: (who, why) => call("POST", `/api/v1/breaker/${what}`, { who, why }), done: e.after,
  });
}
