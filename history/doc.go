// Package history is what was ordered and what happened, in etcd: the revisions
// of the topology, each whole, with who, when and why, and a time line of events.
// It owns the keys under history/ and the form of the values, what makes a
// transaction on them right, and the copy of the topology on a node's disk. What
// is in a topology is for config to read; that a node obeys is cmd's business.
//
// Under the store's prefix:
//
//	history/head                  Head       what is served, and by whom; compared in every transaction
//	history/revisions/NUMBER      Revision   who, when, why, and which content
//	history/content/SUM           stored     of how many parts, and since when
//	history/content/SUM/PART      bytes      of the packed Bundle
//	history/events/TIME-RANDOM    Event
//	history/balancer/TIME-RANDOM  Event of a balancer
//
// Invariants:
//
//   - The head only ever names content that is there: content is written first,
//     and the head's transaction fails when somebody has removed it meanwhile.
//   - Numbers and serials only rise. A head with a lower serial than one that was
//     seen is of the past (etcd was restored): nobody follows it.
//   - What is read is what was written: the sum of a bundle is that of its files.
//   - Old revisions and events go, by number and age, and content that no revision names.
package history
