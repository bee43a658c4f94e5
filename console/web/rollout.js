// Revisions of the topology: what runs where, a canary, who ordered what, and what is different between two.
import { byId, el, once, ago, moment, share, stacked, pill, setPill, button } from "./dom.js";
import { call, fresh } from "./api.js";
import { give } from "./order.js";

let status = null, again = () => {}, chosen = false;

export function setupRollout() {
  byId("diff-form").addEventListener("submit", (e) => {
    e.preventDefault();
    compare(byId("diff-from").value.trim(), byId("diff-to").value.trim());
  });
}

// drawRollout shows what is served, and asks for the history when that is another or a while has passed.
export function drawRollout(s, after) {
  [status, again] = [s, after];
  const t = s.topology;
  once(byId("topology"), [t, s.nodes.map((n) => [n.name, n.revision, n.trial, n.wanted, n.problem, n.follows])], () => topology(s, t));
  revisions([t.head, s.nodes.map((n) => n.revision)]);
}

export const canaryOn = (c) => (c.share > 0 ? `${share(c.share)} of the clients' networks` : (c.nodes || []).join(", "));

function topology(s, t) {
  const h = t.head, r = h.stable, out = [];
  if (!h.newest) {
    out.push(el("p.empty", t.follows ? "No topology yet: gslb apply writes the first." : "This node serves the topology of its own file. With topology = \"etcd\" in [node] it would serve numbered revisions, ordered by gslb apply."));
  } else {
    out.push(el("p.sentence", `Revision ${r.number} is served`, el("span.quiet", `, by ${r.who} at ${moment(r.when)}: ${r.why}`)));
  }
  if (t.problem) out.push(el("p.error", `Not served here: revision ${t.wanted || h.newest}: ${t.problem}`));
  if (h.canary) out.push(canary(h.canary, r));
  if (h.newest || t.follows) out.push(stacked(["Node", "Serves", "State"], s.nodes.map((n) => [n.name + (n.self ? " (this one)" : ""), n.follows ? `revision ${n.revision || "none"}${n.trial ? `, ${n.trial} as a canary` : ""}` : "its own file", serving(n, h)])));
  return out;
}

function serving(n, h) {
  const p = pill();
  if (n.wanted || n.problem) setPill(p, { cls: "s-down", word: `not ${n.wanted || h.newest}` });
  else if (!n.follows) setPill(p, { cls: "s-unknown", word: "by itself" });
  else if (h.canary && n.revision === h.canary.number) setPill(p, { cls: "s-drain", word: "canary" });
  else setPill(p, { cls: "s-up", word: "as ordered" });
  return n.problem ? el("div", p, el("div.error.small", n.problem)) : p;
}

function canary(c, stable) {
  return el("article.hold.canary", el("h3", `Canary: revision ${c.number}`), el("p", `On ${canaryOn(c)}, by ${c.who} at ${moment(c.when)}: ${c.why}`),
    el("div.buttons",
      button("Promote …", `Promote revision ${c.number}`, () => order(`Promote revision ${c.number}`, `All nodes serve revision ${c.number}; now it is on ${canaryOn(c)}.`, "Promote", { action: "promote" }), "button.primary"),
      button("Roll back …", `Roll back revision ${c.number}`, () => order(`Roll back revision ${c.number}`, `The canary is dropped; all serve revision ${stable.number}.`, "Roll back", { action: "drop" })),
      button("Compare", `Compare revision ${c.number} with ${stable.number}`, () => compare(stable.number, c.number))));
}

// order gives an order that was made for the revisions that are shown.
function order(title, effect, verb, body) {
  const base = status.topology.head.newest;
  give({ title, effect, verb, why: "needed", done: again, send: (who, why) => call("POST", "/api/v1/topology", { ...body, base, who, why }) });
}

const revisions = fresh("/api/v1/topology/revisions?limit=30", 15000, showRevisions, (e) => byId("revisions").replaceChildren(el("p.error", `The revisions cannot be read: ${e.message}`)));

function showRevisions(all) {
  const h = status.topology.head;
  byId("diff-form").hidden = all.length < 1;
  if (all.length && !chosen) {
    byId("diff-to").value = all[0].number;
    byId("diff-from").value = all[0].base;
    chosen = true;
  }
  const by = (r) => status.nodes.filter((n) => n.follows && n.revision === r.number).map((n) => n.name).join(", ");
  const mark = (r) => (r.number === h.stable.number ? ["s-up", "served"] : h.canary && r.number === h.canary.number ? ["s-drain", "canary"] : null);
  once(byId("revisions"), [all, h, all.map(by)], () => all.length
    ? stacked(["Revision", "When", "Who", "What", "Why", "Served by", ""], all.map((r) => {
      const m = mark(r), p = m ? pill() : null;
      if (p) setPill(p, { cls: m[0], word: m[1] });
      return [el("span.revision", el("b", String(r.number)), p), moment(r.when), r.who, r.from ? `rollback to ${r.from}` : `${r.files} files`, r.why, by(r) || "–",
        el("span.row-buttons", button("Compare", `Compare revision ${r.number} with the one before`, () => compare(r.base, r.number)),
          m ? null : button("Roll back …", `Roll back to revision ${r.number}`, () => rollback(r)))];
    }))
    : el("p.empty", "There is no revision yet: gslb apply writes the first."));
}

async function rollback(r) {
  const head = status.topology.head;
  let effect = `What revision ${r.number} was (by ${r.who}, ${ago(r.when, status.now)} ago: ${r.why}) becomes the next revision, for all nodes.`;
  try { // what it would move is said before it is ordered
    const res = await call("POST", "/api/v1/topology", { action: "rollback", to: r.number, base: head.newest, who: "", why: "", dry_run: true });
    const moved = (res.plan || "").split("\n").filter((line) => /of its users move|nobody moves/.test(line));
    effect += ` ${[...moved, ...res.warnings].join("; ")}`;
  } catch (e) {
    effect += ` What it would move is not known: ${e.message}`;
  }
  order(`Roll back to revision ${r.number}`, effect, "Roll back", { action: "rollback", to: r.number });
}

async function compare(from, to) {
  byId("diff-from").value = from;
  byId("diff-to").value = to;
  const box = byId("diff");
  try {
    const d = await call("GET", `/api/v1/topology/diff?${new URLSearchParams({ from, to })}`);
    box.replaceChildren(el("h3", `Revision ${d.from} → ${d.to}: ${d.lines.length} difference${d.lines.length === 1 ? "" : "s"}`),
      el("ol.diff", ...d.lines.map((line) => el(({ "+": "li.plus", "-": "li.minus" })[line.trim()[0]] || "li", line))));
  } catch (e) {
    box.replaceChildren(el("p.error", e.message));
  }
}
