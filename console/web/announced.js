// What this node's routers are told (BGP): the sessions with them, and the addresses.
import { byId, el, keyed, text, ago, known, stacked, pill, setPill } from "./dom.js";

const heads = ["What", "State", "Since", "Why"];

// rows are the same as those of bgpTable in text.go.
function rows(b) {
  return [
    ...(b.neighbors || []).map((n) => ({ key: `neighbour ${n.address}`, what: `${n.address} (AS ${n.as})`, since: n.since, why: n.error,
      look: n.state === "established" ? { cls: "s-up", word: "session up" } : { cls: "s-down", word: n.state } })),
    ...(b.addresses || []).map((a) => ({ key: a.address, what: a.address, since: a.since, why: a.why,
      look: a.announced ? { cls: "s-up", word: "announced" } : known(a.due) ? { cls: "s-unknown", word: "soon" } : { cls: "s-down", word: "withdrawn" } })),
  ];
}

export function drawAnnounced(s) {
  byId("announced-panel").hidden = !s.bgp;
  if (!s.bgp) return;
  text(byId("announced-by"), `by AS ${s.bgp.as}, router ID ${s.bgp.router_id}`);
  const box = byId("announced");
  if (!box.firstChild) box.append(stacked(heads, []));
  keyed(box.querySelector("tbody"), rows(s.bgp), (r) => r.key, make, (tr, r) => {
    const [what, state, since, why] = tr.cells;
    text(what.firstChild, r.what);
    setPill(state.firstChild, r.look);
    text(since, ago(r.since, s.now));
    text(why, r.why || "–");
  });
}

function make() {
  const tr = el("tr", el("td", el("span.mono")), el("td", pill()), el("td"), el("td"));
  [...tr.cells].forEach((td, i) => { td.dataset.head = heads[i]; });
  return tr;
}
