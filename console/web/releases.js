// Content generations: what each site serves, what is released, and which sites users are kept from.
import { byId, el, once, ago, stacked, pill, setPill, button } from "./dom.js";
import { call } from "./api.js";
import { field, give } from "./order.js";

const serves = (x, generation) => (x.generations || []).length === 1 && x.generations[0] === generation;

// drawReleases shows them; after is called when something was ordered.
export function drawReleases(s, after) {
  const holds = s.steered.filter((n) => n.holds && !n.alias), list = s.releases || [];
  const what = [list, holds, s.sites.map((x) => [x.site, x.generations, x.state, (x.votes || []).map((v) => v.generation), (x.reports || []).map((r) => r.generation)])];
  once(byId("releases"), what, () => {
    if (!holds.length && !list.length) return el("p.empty", "No steered name holds users to a generation (release = \"hold\" in [[steer]]).");
    const behind = (g) => s.sites.filter((x) => !serves(x, g)).map((x) => x.site).join(", ");
    const rows = holds.map((n) => [n.name, n.released || "nothing", n.released ? (behind(n.released) || "none: all serve it") : "–", n.released ? "only sites that serve it get new users" : "sites are given whatever they serve"]);
    return [
      rows.length ? stacked(["Name that holds", "Released", "Stragglers", "Effect"], rows.map((r) => [el("b", r[0]), r[1], /^(none|–)/.test(r[2]) ? r[2] : el("span.error", r[2]), r[3]])) : null,
      ...list.map((r) => el("p.release", `${r.generation} is released for ${r.name === "*" ? "all names that hold" : r.name}`, el("span.quiet", `, by ${r.who} ${ago(r.since, s.now)} ago: ${r.why} `),
        button("Take back …", `Take back the release for ${r.name}`, () => give({
          title: `Take back the release for ${r.name === "*" ? "all names" : r.name}`, effect: "Sites are given whatever they serve.", verb: "Take back", done: after,
          send: (who, why) => call("DELETE", `/api/v1/release/${encodeURIComponent(r.name)}?${new URLSearchParams({ who, why })}`),
        }), "button.link-button"))),
      holds.length ? button("Release …", "Release a content generation", () => release(s, holds, after)) : null,
    ].filter(Boolean);
  });
  once(byId("generations"), what, () => {
    const by = (x) => [...(x.votes || []).filter((v) => v.generation).map((v) => `${v.vantage}: ${v.generation}`), ...(x.reports || []).filter((r) => r.generation).map((r) => `balancer ${r.node}: ${r.generation}`)].join("; ");
    if (!s.sites.some((x) => (x.generations || []).length)) return el("p.empty", "No site says which generation it serves (generation in [check.NAME]).");
    return stacked(["Site", "Serves", "", "Seen by"], s.sites.map((x) => [el("b", x.site), (x.generations || []).join(", ") || "does not say", mark(x, holds), by(x) || "–"]));
  });
}

// mark tells whether a site has what is released.
function mark(x, holds) {
  const wanted = [...new Set(holds.map((n) => n.released).filter(Boolean))];
  if (!wanted.length) return "";
  const p = pill();
  setPill(p, wanted.every((g) => serves(x, g)) ? { cls: "s-up", word: "released" } : { cls: "s-degraded", word: "straggler" });
  return p;
}

function release(s, holds, after) {
  const newest = s.sites.flatMap((x) => x.generations || []).sort().pop() || "";
  const generation = field("Generation", newest), name = field("For", "*", ["*", ...holds.map((n) => n.name)]);
  give({
    title: "Release a content generation", effect: "New users go only to sites that serve it, and no other. Those that lack it get none until they have it. * is for all names that hold and have no release of their own.",
    verb: "Release", why: "needed", extra: [generation, name], done: after,
    send: (who, why) => call("POST", "/api/v1/release", { name: name.input.value, generation: generation.input.value.trim(), who, why }),
  });
}
