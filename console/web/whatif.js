// What if: where users go when sites are down, and who would be overloaded.
import { byId, el, once, text, short, share, ago, stacked, bar, setBar, button } from "./dom.js";
import { call } from "./api.js";

let asked = false, now = null, asOf = null, turn = 0;

export function setupWhatIf() {
  byId("if-form").addEventListener("submit", (e) => {
    e.preventDefault();
    one([...byId("if-sites").querySelectorAll("input:checked")].map((i) => i.value));
  });
}

// drawWhatIf asks for each single site when the view is first shown.
export function drawWhatIf(s) {
  now = s.now;
  once(byId("if-sites"), s.sites.map((x) => x.site), () => [el("legend", "Together"), ...s.sites.map((x) => {
    const input = Object.assign(el("input"), { type: "checkbox", value: x.site });
    return el("label", input, ` ${x.site}`);
  })]);
  if (!asked) each();
  if (asOf) text(byId("each-age"), `${ago(asOf, s.now)} ago`);
}

// query has what is down, and the total if one is given.
function query(down) {
  const q = new URLSearchParams(down.map((d) => ["down", d]));
  const total = byId("if-total").value.trim();
  if (total) q.set("total", total);
  return q;
}

async function each() {
  [asked, asOf] = [true, null];
  const box = byId("each");
  box.replaceChildren(el("p.quiet", "Counting the users of the whole address space …"));
  try {
    const all = await call("GET", `/api/v1/simulate/each?${query([])}`);
    const c = all[0], age = Object.assign(el("span", "now"), { id: "each-age" });
    asOf = now;
    box.replaceChildren(
      stacked(["If this is down", "#Users who move", "To", "Above capacity", "Carries in all"], all.map((o) => [
        button(o.down, `What if ${o.down} goes down`, () => one([o.down]), "button.link-button"),
        share(o.moved), gains(o), overloads(o), o.first ? `${short(o.carries)}, then ${o.first} is full` : "–"])),
      el("p.quiet.small", c ? `Users are counted by ${c.counted}${c.total ? `; expected load ${short(c.total)} in all` : "; the load to expect is not known: say it below, and each site needs a capacity"}. As things were `: "", age, ". ",
        button("Again", "Ask again", each, "button.link-button")));
  } catch (e) {
    asked = e.status !== 503; // counting took too long: the next poll asks again
    box.replaceChildren(el(e.status === 400 ? "p.empty" : "p.error", e.message));
  }
}

function gains(c) {
  const won = c.sites.map((x) => [x.site, x.share_after - x.share_before]).filter(([, d]) => d > 0.0005).sort((a, b) => b[1] - a[1]);
  const rest = won.length > 4 ? `, ${won.length - 4} more` : "";
  return won.slice(0, 4).map(([site, d]) => `${site} +${share(d)}`).join(", ") + rest || "–";
}

function overloads(c) {
  const over = c.sites.filter((x) => x.over).map((x) => `${x.site} ${share(x.load_after / x.capacity)}`).join(", ");
  return over ? el("span.error", over) : c.total ? "none" : "not known";
}

// one shows what happens when these are down, all at once.
async function one(down) {
  const mine = ++turn, panel = byId("if-panel"), box = byId("if-result"), title = byId("if-title");
  panel.hidden = false;
  title.textContent = down.length ? `If ${down.join(" and ")} ${down.length > 1 ? "go" : "goes"} down` : "As things are";
  box.replaceChildren(el("p.quiet", "Asking …"));
  title.focus({ preventScroll: true });
  panel.scrollIntoView({ block: "nearest" });
  try {
    const q = query(down);
    q.set("most", 12);
    const c = await call("GET", `/api/v1/simulate?${q}`);
    if (mine === turn) box.replaceChildren(...result(c));
  } catch (e) {
    if (mine === turn) box.replaceChildren(el("p.error", e.message));
  }
  panel.scrollIntoView({ block: "nearest" });
}

function result(c) {
  const arrow = (a, b) => (a === b ? b : `${a} → ${b}`);
  const load = (x) => {
    const b = bar();
    b.hidden = !x.capacity;
    setBar(b, x.load_after, x.capacity);
    return el("div", el(x.over ? "span.error" : "span", x.capacity ? `${short(x.load_after)} of ${short(x.capacity)} · ${share(x.load_after / x.capacity)}${x.over ? ", OVERLOADED" : ""}${x.shed ? `, sheds ${share(x.shed)}` : ""}` : c.total ? short(x.load_after) : "–"), b);
  };
  const out = [el("p.sentence", c.moved > 0 ? `${share(c.moved)} of users change their site${c.overloaded.length ? `; ${c.overloaded.join(", ")} would be overloaded` : ""}.` : "Nobody moves.")];
  out.push(stacked(["Site", "State", "#Users", "Load against capacity"], c.sites.map((x) => [el("b", x.site), arrow(x.before, x.after), arrow(share(x.share_before), share(x.share_after)), load(x)])));
  for (const n of c.names) {
    const names = n.names.slice(0, 3).join(" ") + (n.names.length > 3 ? ` and ${n.names.length - 3} more` : "");
    out.push(el("h3", names, el("span.quiet", n.moved > 0 ? `: ${share(n.moved)} of its users move` : ": nobody moves")));
    if (n.fail_open > 0) out.push(el("p.error", `${share(n.fail_open)} are sent as though all sites were up (fail open): none of theirs is.`));
    if (n.last_resort > 0) out.push(el("p.error", `${share(n.last_resort)} are sent to the last resort.`));
    if (!n.moves.length) continue;
    out.push(stacked(["Who", "#Share", "From", "To"], n.moves.map((m) => [[m.operator, m.country].filter(Boolean).join(", ") || "unknown", share(m.share), m.from, m.to])));
    if (n.rest.count) out.push(el("p.quiet.small", `and ${n.rest.count} more moves: ${share(n.rest.share)}`));
  }
  return out;
}
