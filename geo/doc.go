// Package geo knows where a client is: it joins MaxMind databases and the
// configured overrides into one [Place] for each network, and compiles them
// into a [Table] from network to a small number that a caller derives from the
// Place (gslb's cohorts).
//
// It must not know what the numbers mean: policies, sites and DNS are other
// rooms' business. It reads files and nothing else.
//
// # How it works
//
// Everything that says something about networks (a database, the overrides, the
// cuts of a caller, a finished Table) is one and the same structure: a partition
// of the whole address space of a family into leaves, each a network with one
// value, neighbours with the same value merged as far as they go.
//
//	file -> walk -> partition of parts ┐
//	file -> walk -> partition of parts ┼ sweep -> Place + cut -> value ┐
//	overrides ----> partition          │                               │
//	cuts ---------> partition          ┘          Table: partition <───┘
//
// A sweep runs over several partitions in step and sees each piece in which all
// of them are constant once, in address order. Pushed in that order, siblings
// of equal value merge on the top of a stack, so that the result is the least
// partition there is, without a tree in memory.
//
// # Invariants
//
//   - The leaves of a partition are disjoint and cover the whole family, misses
//     included. Look-ups return the width of the leaf, so that the ECS scopes
//     (RFC 7871) made of them never overlap.
//   - A DB and a Table never change: they are safe for concurrent use, and a
//     reload makes new ones. A DB keeps nothing of the file it was read from.
//   - [Table.Lookup] neither allocates nor locks.
//   - No file makes Open panic, hang or allocate out of proportion to its size.
//
// # Addresses that hold an IPv4 address
//
// IPv4-mapped addresses (::ffff:0:0/96) are taken for the IPv4 address. 6to4
// (2002::/16, RFC 3056), NAT64 (64:ff9b::/96, RFC 6052) and Teredo (2001::/32,
// RFC 4380) addresses are looked up, in databases, overrides and cuts alike, by
// the IPv4 address within; the prefix that is returned is an IPv6 one all the
// same. Networks within those ranges therefore never match as such.
package geo
