// Package zones owns what is served: the zones read from master files (RFC
// 1035, section 5), the tree of their names, and the steered names that stand
// in it, all as one immutable DB.
//
// It knows names, RRsets and the look-up algorithm of RFC 1034, section 4.3.2,
// with RFC 4592 (wildcards), RFC 2308 (negative answers) and RFC 6672 (DNAME),
// and how records are written behind a question. It must not know how a query
// arrives, nor limits, flags and EDNS of the answer: those are the room
// dnsserver's. It does not choose sites either: a look-up that meets a steered
// name says so, and Tailor continues once a site is chosen.
//
// A zone that comes signed and one that is signed here (Input.Signing, package
// dnssec) look the same to look-ups: the RRSIG records of an RRset lie behind it,
// and the owners of NSEC or NSEC3 records are found by their canonical order.
// Signing makes another Zone of one, beside the serving path, with the steered
// names in it and all that their sites can answer; Resign makes the next DB when
// keys have changed or signatures are due, from what is in memory.
//
//	db, err := zones.Input{Zones: …, Steered: …, Sites: …, Signing: bySaid}.Load(prev)
//	result, took, ok := zone.Signing()  // when to sign again, what was made
//	db, err = db.Resign(byNow)
//
// Invariants: a Zone and a DB never change once built, so any number of
// goroutines may read them, and any number of DBs may share a Zone, which knows
// neither other zones nor steered names. Lookup and Tailor allocate nothing.
// Names are wire form, lower case where they are compared, and as written in
// the master file where they are sent.
package zones
