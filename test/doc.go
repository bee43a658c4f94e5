// Package test runs gslb from end to end: the real binary as real processes,
// with real web servers behind it, a real etcd, a real recursive resolver, on
// loopback addresses and in network namespaces that a test makes for itself.
//
// It knows gslb only from outside: its command line, its configuration files,
// its HTTP API and what it answers on the wire. Each test starts what it needs
// and leaves nothing behind: no process, no namespace, no file.
//
// What needs more than Go (dig, unbound, root …) is skipped where that is
// missing, with the reason; with GSLB_CI=1 in the environment the test fails
// instead. Under the race detector the binary is built for it too, and a data
// race that it reports fails the test.
package test
