// Package forecast says where everyone would go: for each steered name the users
// of the whole address space by country, operator and site, what load that makes of
// each site, and what moves when sites fail or the topology changes.
//
// # How it works
//
//	Topology (sites, policies, databases) ─┐
//	Topology after the change             ─┼─ Survey ─▶ Users ─ Compare(before, after) ─▶ Comparison
//	Weights (addresses, queries, people)  ─┘                        ▲
//	                                            States of the sites ┘
//
// Survey walks the address space once, for both topologies and all names, and keeps
// how many users of which country and operator are in which cohort: two cohorts, one
// of each topology. Each Compare after it costs what filtering the plans for the
// States costs, so that any number of states can be looked at.
//
// What it knows of decisions is [steer.Live.Expected]: the code that decides also says
// where its decisions lead in the long run. Weighted picks, hashes and shedding are split
// by expectation, not drawn.
//
// The room is pure, and knows nothing of DNS, configuration files or commands.
package forecast
