// Package console is how people and programs see and command a running node:
// the HTTP API, Prometheus metrics and the embedded web page, and the Go client
// that the command line uses.
//
// It owns the shapes of the API (Status, Explanation), who may ask for what
// (see guard.go), and how a status reads in a terminal (WriteStatus). It does
// not know where anything comes from: a Backend, which cmd implements over the
// rooms, gives it values and takes orders.
//
// What there is to ask for; errors are {"error": "…"} with the status that fits:
//
//	GET    /                         the page
//	GET    /api/v1/status            Status
//	GET    /api/v1/zones             ZoneList
//	GET    /api/v1/explain           Explanation; ?name=www.abc.com&client=203.0.113.7&type=A
//	POST   /api/v1/release           health.Release
//	DELETE /api/v1/release/{name}
//	POST   /api/v1/breaker/allow     {"who": …, "why": …}
//	POST   /api/v1/breaker/drop      likewise
//	POST   /api/v1/override          health.Override, or with "for": "30m" instead of until
//	DELETE /api/v1/override/{site}   take it back
//	POST   /api/v1/push              an application's word on itself, for checks of type push
//	POST   /api/v1/reload            {"zones": [...]}; the answer is Reloaded
//	GET    /api/v1/etcd/members      EtcdMembers
//	DELETE /api/v1/etcd/members/{member}           take one out for good; ?who=lee&why=scrapped
//	GET    /api/v1/topology          Topology
//	POST   /api/v1/topology          TopologyOrder; the answer is TopologyResult
//	GET    /api/v1/topology/revisions[/{number}]   []history.Revision; one with its files, Content
//	GET    /api/v1/topology/diff     Differences of two revisions; ?from=3&to=4
//	GET    /api/v1/simulate          forecast.Comparison; ?down=kt&drain=cn&up=us&total=5000&most=20
//	GET    /api/v1/simulate/each     []OneDown: each single site down, besides what simulate takes
//	GET    /api/v1/events            []history.Event; ?since=2h&site=kt&kind=health&limit=100
//	GET    /metrics                  Prometheus
//	GET    /livez, /readyz           200, or 503 and why
//	GET    /readyz/{frontend}        likewise: whether a virtual address may lead here for it
//
// Invariants:
//   - Nothing here is on the path of a DNS query; a stuck browser or a scan of the
//     port costs a bounded number of connections, requests and bytes.
//   - What changes something needs a method that a web page of another origin
//     can't send unasked, a Host that isn't rebound, and the token when one is set.
//   - A reading never blocks on the store: Backend.Status is of values in memory.
package console
