package dnssec

import (
	"errors"
	"fmt"
	"time"
)

// Policy says which keys a zone has and how they are rolled. Times are those
// of RFC 7583 and of BIND's dnssec-policy.
type Policy struct {
	Algorithm Algorithm
	Bits      int  // of an RSA key; 0 means 2048
	CSK       bool // one key that signs all, instead of KSK and ZSK
	// Insecure has the zone unsigned, once the parent has no DS of it any more.
	Insecure bool
	// Lifetimes are from a key's activation to its successor's; 0 means that
	// keys are not rolled by schedule. A CSK has KSKLifetime.
	KSKLifetime time.Duration
	ZSKLifetime time.Duration

	DNSKEYTTL         time.Duration
	MaxZoneTTL        time.Duration // the largest TTL in the zone, and of a negative answer
	DSTTL             time.Duration // of the DS at the parent
	Propagation       time.Duration // until all of the zone's servers have a change
	ParentPropagation time.Duration // until all of the parent's have
	PublishSafety     time.Duration // added before a new key is relied on
	RetireSafety      time.Duration // added before an old key goes
	// Purge is how long a key's files stay after it has gone; 0 means for good.
	Purge time.Duration
}

// DefaultPolicy is one key for all, which is never rolled by schedule, with the
// times that BIND takes.
var DefaultPolicy = Policy{
	Algorithm: ECDSAP256SHA256, CSK: true,
	DNSKEYTTL: time.Hour, MaxZoneTTL: 24 * time.Hour, DSTTL: 24 * time.Hour,
	Propagation: 5 * time.Minute, ParentPropagation: time.Hour,
	PublishSafety: time.Hour, RetireSafety: time.Hour,
	Purge: 90 * 24 * time.Hour,
}

// publishInterval is Ipub: from a DNSKEY's publication until every cache that
// has the DNSKEY RRset has the key (RFC 7583, section 3.2.1).
func (p Policy) publishInterval() time.Duration { return p.Propagation + p.DNSKEYTTL + p.PublishSafety }

// firstInterval is the same for a zone that was not signed yet, with the time
// until no cache has anything without a signature (RFC 7583, section 3.4).
func (p Policy) firstInterval() time.Duration {
	return p.Propagation + max(p.DNSKEYTTL, p.MaxZoneTTL) + p.PublishSafety
}

// retireInterval is Iret of a ZSK: from its last signature until no cache has
// one (RFC 7583, section 3.2.1). The whole zone is signed anew at once, so that
// Dsgn is part of the propagation.
func (p Policy) retireInterval() time.Duration { return p.Propagation + p.MaxZoneTTL + p.RetireSafety }

// dsInterval is Iret of a KSK: from when its successor's DS was seen at the
// parent until no cache has the DS that was there before (RFC 7583, section
// 3.3.1).
func (p Policy) dsInterval() time.Duration { return p.ParentPropagation + p.DSTTL + p.RetireSafety }

// Validate checks the policy.
func (p Policy) Validate() error {
	var errs []error
	if !p.Algorithm.known() {
		errs = append(errs, fmt.Errorf("keys: %s is none to sign with", p.Algorithm))
	}
	if p.Bits != 0 && (p.Bits < RSABits[0] || p.Bits > RSABits[1]) {
		errs = append(errs, fmt.Errorf("keys: RSA keys of %d bits: %d to %d are allowed", p.Bits, RSABits[0], RSABits[1]))
	}
	for _, d := range []time.Duration{p.KSKLifetime, p.ZSKLifetime, p.DNSKEYTTL, p.MaxZoneTTL, p.DSTTL, p.Propagation, p.ParentPropagation, p.PublishSafety, p.RetireSafety, p.Purge} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("keys: a time of %v is negative", d))
		}
	}
	if p.DNSKEYTTL < time.Second {
		errs = append(errs, errors.New("keys: the DNSKEY's TTL is at least a second"))
	}
	if least := p.publishInterval() + p.retireInterval(); p.ZSKLifetime > 0 && !p.CSK && p.ZSKLifetime < least {
		errs = append(errs, fmt.Errorf("keys: a ZSK's lifetime of %v is less than a roll takes with these times: %v", p.ZSKLifetime, least))
	}
	least := p.publishInterval() + p.dsInterval()
	if p.CSK {
		least = max(least, p.publishInterval()+p.retireInterval())
	}
	if p.KSKLifetime > 0 && p.KSKLifetime < least {
		errs = append(errs, fmt.Errorf("keys: a lifetime of %v is less than a roll takes with these times: %v", p.KSKLifetime, least))
	}
	return errors.Join(errs...)
}

// NewKey is a key that is to be made.
type NewKey struct {
	Algorithm Algorithm
	Bits      int
	Role      Role
	Timing    Timing
}

// Plan is what the keys of a zone are to do now, and what is to be done with
// them. After Generate or Retime the policy is to be asked again.
type Plan struct {
	Publish  []*Key // in the DNSKEY RRset
	SignKeys []*Key // sign the DNSKEY, CDS and CDNSKEY RRsets
	SignZone []*Key // sign everything else
	CDS      []*Key // named by the CDS and CDNSKEY RRsets

	Generate []NewKey // keys to be made and kept
	Retime   []*Key   // keys with other times, to be kept
	Remove   []*Key   // keys whose files can go
	// Waiting are keys whose DS should now be put into the parent's zone and
	// confirmed. The roll waits for it, however long it takes.
	Waiting []*Key
	Roll    *KindRoll // the roll to another algorithm, or to or from a CSK; nil: there is none
	// Leaving is how far a zone with Policy.Insecure has come; Leaves is when it
	// may be served unsigned, if that is known.
	Leaving  Leaving
	Leaves   time.Time
	Problems []error   // what keeps the zone from being as the policy wants
	Next     time.Time // when to ask again, should nothing happen before; zero: never
}
