// Package zones owns what is served: the zones read from master files (RFC
// 1035, section 5), the tree of their names, and the steered names that stand
// in it, all as one immutable DB.
//
// It knows names, RRsets and the look-up algorithm of RFC 1034, section 4.3.2,
// with RFC 4592 (wildcards), RFC 2308 (negative answers) and RFC 6672 (DNAME).
// It must not know how a query arrives or how an answer is encoded: Lookup
// fills lists of RRsets by section, and the room dnsserver alone knows order,
// truncation and compression. It does not choose sites either: a look-up that
// meets a steered name says so, and Tailor continues once a site is chosen.
//
// Invariants: a DB and everything that hangs on it never changes after Build,
// so any number of goroutines may read it; Lookup and Tailor allocate nothing;
// names are wire form, lower case where they are compared, and as written in
// the master file where they are sent.
package zones
