// Package dnssec owns how a zone is signed: keys and their files, the
// canonical form (RFC 4034, section 6), signatures, the proofs of denial (NSEC,
// NSEC3), and the roll of keys over time.
//
// Signing is a transformation: a zone's RRsets go in, in wire form and
// canonical order, and the records that DNSSEC adds come out, to be served just
// as those of a zone that came signed. So nothing here runs when a query comes.
// The package knows neither how a zone is stored nor how an answer is made, nor
// does it keep a clock: the time comes in with each call.
//
// Invariants: a Key never changes. Two nodes with the same keys, policy and
// zone make the same signatures, octet for octet, whenever each was started:
// nonces are deterministic (RFC 6979) and the times of a signature lie on a
// grid (Times). A signature that is still right is taken from a Cache, by the
// digest of what it signs, and not made again.
package dnssec
