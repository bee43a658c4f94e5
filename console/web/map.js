// The map: an equirectangular sketch of the earth with a card for each site.
import { byId, el, svg, keyed, text, attr, bar, setBar, stateOf } from "./dom.js";
import { land, step, north } from "./world.js";

const top = 80, bottom = -59; // degrees of latitude that are shown
const roomy = { w: 166, h: 36 }, tight = { w: 84, h: 19 }; // of a card, in pixels

const box = byId("map"), picture = byId("map-svg"), cards = byId("map-cards");
let sites = [], way = null, placed = "";

// project gives degrees as units of the picture, one for each degree.
const project = (l) => [l.longitude + 180, top - l.latitude];

function backdrop() {
  picture.setAttribute("viewBox", `0 0 360 ${top - bottom}`);
  let grid = "", dots = "";
  for (let lon = 30; lon < 360; lon += 30) grid += `M${lon} 0V${top - bottom}`;
  for (let lat = 60; lat > bottom; lat -= 30) grid += `M0 ${top - lat}H360`;
  land.forEach((row, y) => {
    [...row].forEach((hex, x) => {
      const bits = parseInt(hex, 16);
      for (let b = 0; b < 4; b++) {
        if (bits & (8 >> b)) dots += `M${(x * 4 + b + 0.5) * step} ${top - north + (y + 0.5) * step}h0`;
      }
    });
  });
  picture.append(svg("path", { class: "grid", d: grid }), svg("path", { class: "land", d: dots }));
  picture.append(svg("g", { id: "map-leads" }), svg("g", { id: "map-spots" }), svg("g", { id: "map-way" }));
}

// layout finds a free place for each card: as near to its spot as can be, over
// no other card and, when it can be helped, over no other spot. It depends on
// names, places and the width alone, so cards don't move when states change.
function layout() {
  const width = box.clientWidth, height = box.clientHeight, scale = width / 360;
  const small = width < 760 || sites.length > 14;
  const card = small ? tight : roomy;
  const signature = JSON.stringify([width, height, sites.map((s) => [s.site, s.location])]);
  if (signature === placed || !width) return;
  placed = signature;
  box.classList.toggle("tight", small);
  box.style.setProperty("--card-w", card.w + "px");
  box.style.setProperty("--card-h", card.h + "px");

  const spots = sites.filter((s) => s.location).map((s) => ({ name: s.site, at: project(s.location).map((v) => v * scale) }));
  spots.sort((a, b) => a.at[1] - b.at[1] || a.at[0] - b.at[0] || (a.name < b.name ? -1 : 1));
  const taken = [];
  const hits = (x, y) => taken.some((t) => Math.abs(t.x - x) < card.w + 5 && Math.abs(t.y - y) < card.h + 5);
  const covers = (x, y) => spots.filter((s) => s.at[0] > x - 6 && s.at[0] < x + card.w + 6 && s.at[1] > y - 6 && s.at[1] < y + card.h + 6).length;
  const leads = [];
  const within = ([px, py], x, y) => px > x && py > y && px < x + card.w && py < y + card.h;
  const along = ([a, b]) => [0.1, 0.3, 0.5, 0.7, 0.9].map((f) => [a[0] + (b[0] - a[0]) * f, a[1] + (b[1] - a[1]) * f]);
  // crossings counts the cards that a new lead would run under, and the leads that a new card would hide.
  const crossings = (from, to, x, y) =>
    taken.filter((t) => along([from, to]).some((p) => within(p, t.x, t.y))).length +
    leads.filter((l) => along(l).some((p) => within(p, x, y))).length;
  for (const s of spots) {
    let best = null;
    for (let radius = 12; radius < Math.max(width, height) && (!best || radius < best.radius + 30); radius += 6) {
      for (let turn = 0; turn < 24; turn++) {
        const angle = (turn / 24) * 2 * Math.PI;
        const x = s.at[0] + Math.cos(angle) * (radius + card.w / 2) - card.w / 2;
        const y = s.at[1] + Math.sin(angle) * (radius + card.h / 2) - card.h / 2;
        if (x < 2 || y < 2 || x + card.w > width - 2 || y + card.h > height - 2 || hits(x, y)) continue;
        const end = [clamp(s.at[0], x, x + card.w), clamp(s.at[1], y, y + card.h)];
        const cost = radius + 25 * covers(x, y) + 60 * crossings(s.at, end, x, y);
        if (!best || cost < best.cost) best = { x, y, cost, radius, end };
      }
    }
    if (!best) continue; // no room: the spot stays, and the table has the rest
    taken.push({ name: s.name, x: best.x, y: best.y });
    leads.push([s.at, best.end]);
  }
  let x = 4; // those without a location stand at the foot
  for (const s of sites.filter((s) => !s.location)) {
    if (x + card.w > width) break;
    taken.push({ name: s.site, x, y: height - card.h - 4 });
    x += card.w + 5;
  }
  byId("map-leads").replaceChildren(svg("path", { class: "lead", d: leads.map((l) => "M" + l.map((p) => p.map((v) => (v / scale).toFixed(2)).join(" ")).join("L")).join("") }));
  for (const e of cards.children) {
    const t = taken.find((t) => t.name === e.dataset.key);
    e.hidden = !t;
    if (t) e.style.transform = `translate(${t.x.toFixed(1)}px, ${t.y.toFixed(1)}px)`;
  }
}

const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

export function drawMap(status) {
  sites = status.sites;
  keyed(cards, sites, (s) => s.site, () => el("li.card", el("div.line", el("span.mark"), el("b"), el("i")), bar()), (e, s) => {
    const { cls, word } = stateOf(s);
    const line = e.firstChild;
    attr(e, "class", "card " + cls + (way && way.site === s.site ? " chosen" : ""));
    attr(line, "class", "line " + cls);
    text(line.children[1], s.site);
    text(line.children[2], word.replace("forced ", ""));
    setBar(e.lastChild, s.load, s.capacity);
    attr(e, "title", `${s.site}: ${word}. ${s.why}`);
  });
  keyed(byId("map-spots"), sites.filter((s) => s.location), (s) => s.site, () => svg("path", {}), (e, s) => {
    const [x, y] = project(s.location);
    attr(e, "class", "spot " + stateOf(s).cls);
    attr(e, "d", `M${x} ${y}h0`);
  });
  layout();
}

// showWay draws the way of a decision, from the client to its site; null takes it away.
export function showWay(from, site) {
  way = site ? { from, site } : null;
  const g = byId("map-way");
  g.replaceChildren();
  const to = sites.find((s) => s.site === site);
  if (from) {
    const a = project(from);
    if (to && to.location) {
      const b = project(to.location);
      const bend = Math.hypot(b[0] - a[0], b[1] - a[1]) / 5;
      g.append(svg("path", { class: "way", d: `M${a}Q${(a[0] + b[0]) / 2} ${Math.max(3, (a[1] + b[1]) / 2 - bend)} ${b}` }));
    }
    g.append(svg("path", { class: "you", d: `M${a}h0` }));
  }
  for (const e of cards.children) e.classList.toggle("chosen", e.dataset.key === site);
}

backdrop();
new ResizeObserver(layout).observe(box);
