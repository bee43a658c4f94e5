// Package store is the fleet's shared memory: etcd, embedded in this process
// or an outside cluster. It owns connections, transactions, watches, leases
// and the last-known-good copies on disk. It moves bytes and knows facts ("the
// lease is gone", "this is an old copy"); what a value means is the business
// of the room that wrote it.
//
// Invariants:
//
//   - Nothing here stops the program: an etcd that is slow, gone, compacted,
//     replaced or corrupt leads to an error value, a Stale view or a log line.
//     Even a fatal error inside the embedded member ends the member alone.
//   - A View is whole and immutable, and belongs to one revision. Views never
//     go back in time, except to a cluster that is plainly another one.
//   - A watch that is fresh has heard from etcd in the last few seconds.
//   - No call waits for ever: calls without a deadline get one.
package store
