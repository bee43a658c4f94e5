// Package fleet joins the nodes' views of the sites: it publishes this node's
// votes and reports under its lease, watches everybody's, and evaluates them to
// one health.States value, anew at each change. It owns the layout of the keys
// and the form of the values, and what it means that etcd or a lease is gone.
// How votes become a verdict is health's business, how bytes travel store's.
//
// Under the store's prefix:
//
//	fleet/votes/SITE/NODE     health.Vote      under the voter's lease
//	fleet/reports/SITE/NODE   health.Report    under the balancer's lease
//	fleet/nodes/NODE/INSTANCE Node             under the node's lease
//	fleet/answers/SITE/NODE   health.Answered  under the DNS node's lease, while the site is to get no users
//	fleet/overrides/SITE      health.Override  stays until cleared or expired
//
// INSTANCE is random and new for each process. Two processes that were given one
// name by mistake thus don't overwrite each other's record, and both see it;
// their votes and reports share keys, and the one that spoke last counts.
// Values are JSON. One prefix holds them all, so that each States belongs to one
// revision and one last-known-good copy. Names are path-escaped.
//
// What a node believes, by how long it has been without etcd:
//
//	etcd                 votes and reports                            overrides
//	reached              everybody's                                  everybody's
//	lost, not long       the last known, its own ones current         the last known
//	lost for StaleAfter  a site it has evidence on itself: its own    the last known
//	                     only; another site: the last known
//	never reached and    its own, after firstView                     none
//	no copy on disk
//
// Invariants:
//
//   - A States that was handed out never changes.
//   - No value in etcd can stop a node: what can't be read is left out and shown
//     by Problems.
//   - The loss of etcd alone takes no site out of service and puts none in; and
//     when etcd is back, a change that would take most sites out at once waits
//     until every node had the time to vote again.
//   - A node writes when something changed, and each key at a bounded rate.
package fleet
