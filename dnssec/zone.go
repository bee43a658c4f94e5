package dnssec

import (
	"fmt"
	"time"

	"gslb/dnsname"
)

// Standing is what a zone has to say at a name.
type Standing uint8

const (
	Authoritative Standing = iota // its records are the zone's own
	Cut                           // it is delegated away: NS, and perhaps DS
	Below                         // it stands below a cut or a DNAME: glue, or not to be seen
)

// Name is one owner of records.
type Name struct {
	Owner    []byte // wire form, in any case
	Standing Standing
	Sets     []RRset
	// Exists tells that there is such a name even if it has no RRsets, and is no
	// empty non-terminal: it has an NSEC or NSEC3 of its own.
	Exists bool
	// Deny are types of Sets that not every answer has, as those of a steered
	// name that some site has not: for each of them the name's NSEC or NSEC3 is
	// signed once more without it; see Signed.Without.
	Deny []uint16
}

// Walk visits every owner of records in a zone, in canonical order (RFC 4034,
// section 6.1; see Compare), the apex first. It ends with the first error and
// returns it. The Name and all it points to need to last no longer than the
// visit.
type Walk func(visit func(*Name) error) error

// Signed is an RRset with its signatures. All it points to lasts no longer than
// the call that it is given to.
type Signed struct {
	Owner []byte // wire form, lower case
	Type  uint16
	TTL   uint32   // seconds, that of its RRSIG records as well (RFC 4034, section 3)
	ID    uint64   // as in the RRset that came in; 0 for those made here
	Data  [][]byte // of an RRset that signing makes; nil for one that came in
	RRSIG [][]byte // rdata; none where the parent is not authoritative
	// Without is the type that this variant of an NSEC or NSEC3 leaves out, one of
	// Name.Deny; 0: it is the record of the chain.
	Without uint16
}

// Signing says how a zone is signed.
type Signing struct {
	Apex   []byte       // wire form
	Class  uint16       // 0 means IN
	Keys   Plan         // Publish, SignKeys, SignZone, CDS and Leaving count
	TTL    uint32       // of DNSKEY, CDS and CDNSKEY; 0 means an hour
	CDS    []DigestType // digests to publish; none means SHA256
	Times  Times
	Denial Denial
	NSEC3  NSEC3Params
	// Compact has names that do not exist proven one by one, for those who ask, beside
	// the chain of Denial; see Compact. SignZone has no part in it.
	Compact bool
	// Cache is what the zone's last signing returned, or nil.
	Cache   *Cache
	Workers int // that sign at a time; 0 means one for each processor
}

// Result is how signing went.
type Result struct {
	Cache  *Cache    // for the next time
	Next   time.Time // when the first signature is to be renewed
	Made   int       // signatures made
	Reused int       // signatures that were there before; of a zone that was patched, about
	Names  int       // records of denial: NSEC, or NSEC3
}

// SignZone signs a zone as of now and hands over every RRset that is to have
// signatures, and those that signing adds: DNSKEY, CDS, CDNSKEY and NSEC, or
// NSEC3 and NSEC3PARAM. DNSKEY, CDS and CDNSKEY records that stand in the zone
// already stay beside them (RFC 8901). The names come in canonical order, the
// NSEC3 records after them in that of their hashes. Walk and emit run in the
// caller's goroutine, one at a time; an error of either ends it.
//
// Signing again with the Cache renews what is due and signs what is new.
func SignZone(s Signing, now time.Time, walk Walk, emit func(*Signed) error) (Result, error) {
	z, err := newZoneSigner(s, now, emit)
	if err != nil {
		return Result{}, err
	}
	defer z.stop()
	err = walk(z.visit)
	if err == nil {
		err = z.finish()
	}
	if err != nil {
		return Result{}, fmt.Errorf("signing %s: %w", dnsname.Format(z.Apex), err)
	}
	return z.result, nil
}
