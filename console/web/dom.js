// Building and updating the page. Text goes in as text and never as markup: the
// strings come from probes, operators and DNS, and any of them may be hostile.

const svgNames = "http://www.w3.org/2000/svg";

// el makes an element: el("p.why.small", "text", el("b", "more")).
export function el(spec, ...children) {
  const [tag, ...classes] = spec.split(".");
  const e = document.createElement(tag);
  if (classes.length) e.className = classes.join(" ");
  e.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
  return e;
}

export function svg(tag, attributes) {
  const e = document.createElementNS(svgNames, tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  return e;
}

export const byId = (id) => document.getElementById(id);

// text and attr touch the page only for a change, so that a poll which brings
// nothing new costs no layout, and a screen reader isn't told the same again.
export function text(e, s) {
  s = String(s);
  if (e.textContent !== s) e.textContent = s;
}

export function attr(e, name, value) {
  if (value === null || value === undefined || value === false) e.removeAttribute(name);
  else if (e.getAttribute(name) !== String(value)) e.setAttribute(name, value);
}

// keyed makes parent's children match items, and keeps the element of a key
// that stays, so that focus and selection outlive a poll. make(item) gives an
// element, and update(element, item) fills it.
export function keyed(parent, items, key, make, update) {
  const old = new Map([...parent.children].map((e) => [e.dataset.key, e]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const k = String(key(item));
    let e = old.get(k);
    if (e) old.delete(k);
    else {
      e = make(item);
      e.dataset.key = k;
    }
    update(e, item);
    if (e === at) at = at.nextElementSibling;
    else parent.insertBefore(e, at);
  }
  for (const e of old.values()) e.remove();
}

// once runs make only when the value has changed since the last time.
export function once(e, value, make) {
  const now = JSON.stringify(value);
  if (e.shown === now) return;
  e.shown = now;
  e.replaceChildren(...[make()].flat());
}

// table makes a small table of rows of strings or nodes; the names of columns of numbers begin with "#".
export function table(heads, rows) {
  const kind = (c, i) => (heads[i].startsWith("#") ? ".num" : typeof c === "string" && c.length > 32 && c.includes(" ") ? ".prose" : "");
  const tr = (tag, cells) => el("tr", ...cells.map((c, i) => el(tag + kind(c, i), c)));
  return el("div.scroll", el("table", el("thead", tr("th", heads.map((h) => h.replace("#", "")))), el("tbody", ...rows.map((r) => tr("td", r)))));
}

// ago is an age in its two largest units, as in the terminal: "2m10s".
export function ago(from, now) {
  if (!from || from.startsWith("0001-")) return "–";
  return span((Date.parse(now) - Date.parse(from)) / 1000);
}

export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s}s`;
  if (s < 3600) return `${Math.floor(s / 60)}m${s % 60}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h${Math.floor((s % 3600) / 60)}m`;
  return `${Math.floor(s / 86400)}d${Math.floor((s % 86400) / 3600)}h`;
}

// short is a number for a narrow place: 950, 12.3k, 4.1M.
export function short(n) {
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (n >= size && n >= 1e4) return (n / size).toFixed(1).replace(/\.0$/, "") + unit;
  }
  if (n >= 100 || Number.isInteger(n)) return String(Math.round(n));
  return n.toFixed(1);
}

export const percent = (share) => (share > 0 && share < 0.005 ? "<1%" : `${Math.round(share * 100)}%`);

// share is a part of all users, as gslb plan has it: one decimal, and a little is not nothing.
export function share(x) {
  if (x > 0 && x < 0.0005) return "< 0.1 %";
  if (x < 1 - 1e-9 && x > 0.9995) return "> 99.9 %";
  return `${(100 * x).toFixed(1).replace(/\.0$/, "")} %`;
}

// took is a duration in seconds, in three digits: "340 µs", "12.3 ms", "1.52 s".
export function took(s) {
  if (!(s > 0)) return "–";
  for (const [unit, size] of [["s", 1], ["ms", 1e-3]]) if (s >= size) return `${Number((s / size).toPrecision(3))} ${unit}`;
  return `${Math.round(s * 1e6)} µs`;
}

// known tells whether a time is one: Go's zero time is none.
export const known = (t) => Boolean(t) && !t.startsWith("0001-");

// moment is a time for people, in the browser's zone.
export const moment = (t) => (known(t) ? new Date(t).toLocaleString([], { hour12: false }) : "–");

// button makes one that does something, with a name of its own for those who don't see what it stands beside.
export function button(words, name, act, spec = "button") {
  const b = el(spec, words);
  b.type = "button";
  if (name) b.setAttribute("aria-label", name);
  b.addEventListener("click", act);
  return b;
}

// stacked makes a table whose rows are cards on a narrow screen, where each cell says what it is.
export function stacked(heads, rows) {
  const box = table(heads, rows);
  box.className = "stack";
  for (const tr of box.querySelectorAll("tbody tr")) [...tr.cells].forEach((td, i) => { td.dataset.head = heads[i].replace("#", ""); });
  return box;
}

// stateOf gives the class and the word of a site's, server's or vote's state.
export function stateOf(x) {
  const forced = x.override && x.override.kind !== "drain";
  if (x.draining && x.state !== "down") return { cls: "s-drain", word: "draining" };
  const cls = { up: "s-up", degraded: "s-degraded", down: "s-down" }[x.state] || "s-unknown";
  return { cls, word: (forced ? "forced " : "") + (x.state || "unknown") };
}

export function pill() {
  return el("span.pill", el("span.mark"), el("span"));
}

export function setPill(p, { cls, word }) {
  attr(p, "class", "pill " + cls);
  text(p.lastChild, word);
}

// bar shows a share of a capacity; its text says the same for those who don't see it.
export function bar() {
  return el("span.bar", el("span"));
}

export function setBar(b, load, capacity) {
  const share = capacity > 0 ? load / capacity : 0;
  attr(b, "class", "bar" + (share > 1 ? " over" : share > 0.85 ? " hot" : ""));
  b.firstChild.style.width = `${Math.min(100, share * 100).toFixed(1)}%`;
}
