// Package steer decides which site a client is sent to: a policy, a place and
// the state of the sites in, a choice with its reasons out. It is pure: no
// clock, no I/O, no goroutine, no package state.
//
// # What it owns
//
// Policies ([Policy], [Rule], [Target]) and their compiled form; which clients
// are treated alike (cohorts); which member of which tier is given, when tiers
// fail over, how a site that is full sheds, and the explanation of each of
// these ([Trace]). It knows nothing of DNS, of how a place is found, of how a
// state was arrived at, or of configuration files.
//
// # The way of a decision
//
//	Policy ──Compile──▶ Compiled ──Live(states)──▶ Live ──Choose(cohort, ask)──▶ Choice
//	                       ▲                                     ▲
//	   Place, network ─Classify─▶ cohort ────────────────────────┘
//
// Compile runs when the configuration changes. Classify runs once for each
// distinct place while the geo table is built, and gives the number of a plan:
// two clients have the same number, that is they are in one cohort, if and only
// if the same rule matches both and the members of every tier stand in the same
// order for both. Live runs when the state of a site changes, and filters every
// plan to what may be given now. Choose runs for each query.
//
// # Invariants
//
//   - Choose allocates nothing, takes no lock, and always gives a valid site.
//   - While a tier of the matched rule has a member that is available and not
//     draining, no member that is down is given.
//   - Live is immutable. Compiled is immutable once the last Classify is done.
//   - The same client network, period and states give the same choice on every
//     node, whatever the order in which the sites are listed (round-robin
//     apart, which counts queries).
//   - A Trace is filled by the code that decides, never by a second
//     implementation of it.
package steer
