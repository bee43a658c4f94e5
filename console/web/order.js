// The dialog in which an operator gives an order: who, why, and what it will do is said before.
import { byId, el, text, short, percent } from "./dom.js";
import { call } from "./api.js";
import { overrideText } from "./sites.js";

const dialog = byId("order"), form = byId("order-form");
let asked = null;

// give opens the dialog for an order: {title, effect, verb, send(who, why), done}. verb may be a
// function; kinds and life show what only an override needs, why is "needed", or
// "hidden"; extra are more fields.
export function give(order) {
  asked = order;
  text(byId("order-title"), order.title);
  text(byId("order-effect"), order.effect);
  byId("order-kinds").hidden = byId("order-kinds").disabled = !order.kinds;
  byId("order-for-label").hidden = !order.life;
  byId("order-why-label").hidden = order.why === "hidden";
  byId("order-why").required = order.why === "needed";
  byId("order-extra").hidden = !order.extra;
  byId("order-extra").replaceChildren(...(order.extra || []));
  byId("order-who").value = localStorage.getItem("who") || "";
  byId("order-why").value = "";
  byId("order-token-label").hidden = true;
  text(byId("order-error"), "");
  form.elements.kind.value = "drain";
  verb();
  dialog.showModal();
}

// field is one of an order's own.
export function field(label, value, options) {
  const input = el(options ? "select" : "input");
  for (const o of options || []) input.append(Object.assign(el("option", o), { value: o }));
  input.value = value;
  input.required = true;
  return Object.assign(el("label.wide", `${label} `, input), { input });
}

function verb() {
  const v = asked.verb;
  text(byId("order-go"), typeof v === "function" ? v(form.elements.kind.value) : v);
}

// openOrder asks for an override of a site, or takes one back.
export function openOrder(s, clear, status, rates, done) {
  const site = encodeURIComponent(s.site);
  if (clear) {
    give({
      title: `Take back the order for ${s.site}`, effect: `${overrideText(s.override, status.now)}. Once it is taken back, health decides again.`,
      verb: "Take back", done, send: (who, why) => call("DELETE", `/api/v1/override/${site}?${new URLSearchParams({ who, why })}`),
    });
    return;
  }
  give({
    title: `Order for ${s.site}`, effect: effect(s, status, rates), kinds: true, life: true, why: "needed", done,
    verb: (kind) => `${{ drain: "Drain", down: "Force down", up: "Force up" }[kind]} ${s.site}`,
    send: (who, why) => call("POST", "/api/v1/override", { site: s.site, kind: form.elements.kind.value, who, why, for: byId("order-for").value }),
  });
}

// effect says who is moved, and whether the others have room for them.
function effect(site, status, rates) {
  const parts = [];
  if (rates) {
    const n = rates.get(site.site) || 0;
    parts.push(`${site.site} now gets ${short(n)} answers a second, ${percent(n / (rates.all || 1))} of all.`);
  }
  const others = status.sites.filter((s) => s.site !== site.site && s.state !== "down" && !s.draining);
  const spare = others.reduce((n, s) => n + s.spare, 0);
  if (!others.length) parts.push("No other site is in service: draining this one leaves users nowhere else to go.");
  else if (site.capacity > 0 && spare > 0) {
    parts.push(`Its load is ${short(site.load)}; the other ${others.length} in service have room for ${short(spare)}${spare < site.load ? ", which is NOT enough" : ""}.`);
  }
  return parts.join(" ");
}

async function send() {
  const go = byId("order-go"), who = byId("order-who").value.trim();
  go.disabled = true;
  text(byId("order-error"), "");
  if (!byId("order-token-label").hidden) sessionStorage.setItem("token", byId("order-token").value);
  localStorage.setItem("who", who);
  try {
    await asked.send(who, byId("order-why").value.trim());
    dialog.close();
    if (asked.done) asked.done();
  } catch (e) {
    if (e.status === 401) {
      byId("order-token-label").hidden = false;
      byId("order-token").focus();
    }
    text(byId("order-error"), e.message);
  } finally {
    go.disabled = false;
  }
}

form.addEventListener("submit", (e) => { e.preventDefault(); send(); });
form.addEventListener("change", () => asked && verb());
byId("order-cancel").addEventListener("click", () => dialog.close());
