// Package dnsserver owns how the zones are asked: the transports, the message
// (RFC 1035), EDNS (RFC 6891) with Client Subnet (RFC 7871), the steps from a
// query to its answer, and truncation.
//
// The way of a query is a line, each step's output the next one's input:
//
//	receive -> parse -> find (zones) -> classify (geo.Table) -> choose (steer.Live) -> answer -> send
//
// It must not know how zones, policies, databases or the state of sites came
// to be: all of them hang on one immutable Generation, which is loaded once for
// each query and swapped in whole. It cannot reach etcd, the configuration or
// a probe.
//
// Invariants: nothing on the way of a query allocates, takes a lock, or logs;
// what comes from the wire can at worst be answered FORMERR.
package dnsserver
