// The dialog in which an operator orders an override or takes one back. It says
// what the order will move before it is given.
import { byId, text, short, percent } from "./dom.js";
import { overrideText } from "./sites.js";

const dialog = byId("order"), form = byId("order-form");
let site = null, clearing = false, done = () => {};

// call sends a request to the API; an error has the answer's text and status.
export async function call(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  const token = sessionStorage.getItem("token");
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  const value = response.status === 204 ? null : await response.json().catch(() => null);
  if (!response.ok) throw Object.assign(new Error((value && value.error) || `the node answered ${response.status}`), { status: response.status });
  return value;
}

export function openOrder(s, clear, status, rates, after) {
  [site, clearing, done] = [s, clear, after];
  text(byId("order-title"), clear ? `Take back the order for ${s.site}` : `Order for ${s.site}`);
  byId("order-kinds").hidden = byId("order-for-label").hidden = byId("order-why-label").hidden = clear;
  byId("order-kinds").disabled = clear;
  byId("order-who").parentElement.hidden = clear;
  byId("order-who").value = localStorage.getItem("who") || "";
  byId("order-why").value = "";
  byId("order-token-label").hidden = true;
  text(byId("order-error"), "");
  form.elements.kind.value = "drain";
  describe(status, rates);
  dialog.showModal();
}

// describe says who is moved, and whether the others have room for them.
function describe(status, rates) {
  const parts = [];
  if (clearing) parts.push(`${overrideText(site.override, status.now)}. Once it is taken back, health decides again.`);
  else {
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
  }
  text(byId("order-effect"), parts.join(" "));
  verb();
}

function verb() {
  const kind = { drain: "Drain", down: "Force down", up: "Force up" }[form.elements.kind.value];
  text(byId("order-go"), clearing ? "Take back" : `${kind} ${site.site}`);
}

async function give() {
  const go = byId("order-go");
  go.disabled = true;
  text(byId("order-error"), "");
  if (!byId("order-token-label").hidden) sessionStorage.setItem("token", byId("order-token").value);
  try {
    if (clearing) await call("DELETE", `/api/v1/override/${encodeURIComponent(site.site)}?who=${encodeURIComponent(byId("order-who").value.trim())}`);
    else {
      const who = byId("order-who").value.trim();
      localStorage.setItem("who", who);
      const body = { site: site.site, kind: form.elements.kind.value, who, why: byId("order-why").value.trim(), for: byId("order-for").value };
      await call("POST", "/api/v1/override", body);
    }
    dialog.close();
    done();
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

form.addEventListener("submit", (e) => { e.preventDefault(); give(); });
form.addEventListener("change", () => site && verb());
byId("order-cancel").addEventListener("click", () => dialog.close());
