// The views of the page: one is shown at a time, the one that the address names (#servers).
import { attr } from "./dom.js";

const all = new Map([...document.querySelectorAll("[data-view]")].map((e) => [e.dataset.view, e]));
const links = [...document.querySelectorAll("#views a")];
let view = "overview", changed = () => {};

export const shown = () => view;

// setupViews calls change when another view is shown.
export function setupViews(change) {
  changed = change;
  addEventListener("hashchange", turn);
  turn();
}

// turn shows the view that the address names; a decision ("#name=…") is one of the overview.
function turn() {
  const named = decodeURIComponent(location.hash.slice(1));
  if (!all.has(named) && named && !named.includes("=")) return; // a place within the view, such as of the skip link
  view = all.has(named) ? named : "overview";
  for (const [name, e] of all) e.hidden = name !== view;
  for (const a of links) attr(a, "aria-current", a.hash === `#${view}` ? "page" : null);
  const link = links.find((a) => a.hash === `#${view}`), bar = link.parentElement;
  bar.scrollLeft = link.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2; // on a narrow screen the links scroll
  changed(view);
}

// badge says beside the link of a view what waits there; "" takes it away.
export function badge(name, words) {
  const a = links.find((a) => a.hash === `#${name}`);
  if (a.dataset.badge === words) return;
  a.dataset.badge = words;
  while (a.childNodes.length > 1) a.lastChild.remove();
  if (!words) return;
  const e = document.createElement("span");
  e.className = "count bad";
  e.textContent = words;
  a.append(" ", e);
}
