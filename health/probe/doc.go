// Package probe asks servers, on the wire, whether they work.
//
// It owns the types of checks (one file each, listed in the table in kind.go),
// what each sends and takes for healthy, the words in which it says what it saw,
// and the [Runner], which runs many checks in time with few goroutines. When a
// row of results becomes a verdict is known by [health.Machine]; what a verdict
// is good for, by whoever called [Runner.Run].
//
// Invariants:
//   - Each probe is a connection of its own, straight to its address: no proxy of
//     the environment, no connection or TLS session reused, and no redirect
//     followed unless the configuration says so.
//     A check must see what a new user would.
//   - TLS is verified unless the configuration says skip_verify.
//   - A probe ends within its timeout, whatever the other side does, and reads
//     a bounded number of bytes.
//   - A fault of this machine (out of file descriptors or ports) is [ErrNotProbed],
//     never a failure of the target.
package probe
