// Package transfer owns how zones move between servers: AXFR (RFC 5936) and IXFR
// (RFC 1995) out and in, NOTIFY (RFC 1996), dynamic update (RFC 2136), catalog
// zones (RFC 9432), and TSIG (RFC 8945) with who may do what.
//
// A Manager answers what the DNS server does not: it is the dnsserver's Other,
// and knows no socket of it. It gets zones and puts zones through its Host, which
// is the node: one place swaps what is served. It must not know how a plain query
// is answered, nor where the configuration stands.
//
// Invariants: whatever changed is in the zone's journal, on disk, before it is
// acknowledged or served. A journal that ends in the middle of an entry loses that
// entry only. Nothing is allowed that configuration does not allow. What comes
// from the wire or from a journal can at worst be refused.
package transfer
