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
// cuts of the callers) is one and the same structure, a stream: a partition
// of the whole address space of a family into leaves, each a network with one
// value, neighbours with the same value merged as far as they go, written down
// in address order in a few bytes each.
//
//	file -> two walks -> stream of places ┐                              ┌> numbers -> trie ┐
//	file -> two walks -> stream of places ┼ sweep -> stream of tuples ───┼> numbers -> trie ┼ Tables
//	overrides ---------> stream           │          (Places and cuts)   └> numbers -> trie ┘
//	cuts --------------> stream           ┘
//
// A sweep runs over several streams in step and sees each piece in which all
// of them are constant once, in address order. Each distinct combination of what they say,
// a tuple, gets a number; each caller is asked once what it makes of a tuple. Pushed
// in address order, siblings of equal value merge as they come, so that the result
// is the least partition there is, without a tree in memory.
//
// A Table's own form is another, made for look-ups: a trie. See there, and docs/cohorts.md for
// what it was measured against.
//
// # Invariants
//
//   - The leaves of a partition are disjoint and cover the whole family, misses
//     included. Look-ups return the width of the leaf, so that the ECS scopes
//     (RFC 7871) made of them never overlap.
//   - A DB and a Table never change: they are safe for concurrent use, and a
//     reload makes new ones. A DB keeps nothing of the file it was read from.
//   - [Table.Lookup] neither allocates nor locks.
//   - No file makes Open panic, hang or allocate out of proportion to its size; no DB makes
//     BuildAll exceed [MaxTableBytes] for a table.
//
// # Addresses that hold an IPv4 address
//
// IPv4-mapped addresses (::ffff:0:0/96) are taken for the IPv4 address. 6to4
// (2002::/16, RFC 3056), NAT64 (64:ff9b::/96, RFC 6052) and Teredo (2001::/32,
// RFC 4380) addresses are looked up, in databases, overrides and cuts alike, by
// the IPv4 address within; the prefix that is returned is an IPv6 one all the
// same. Networks within those ranges therefore never match as such.
package geo
