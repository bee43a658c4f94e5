package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// DNSSEC is how a zone is signed by this node.
type DNSSEC struct {
	CameSigned bool  `json:"came_signed,omitempty"` // by somebody else: of all below only Expires is known
	Maintained bool  `json:"maintained"`            // its keys are made and rolled by this node
	Compact    bool  `json:"compact,omitempty"`     // names that do not exist are proven one by one (RFC 9824)
	Keys       []Key `json:"keys"`
	// DS are the DS records that the parent is to have, without their owner.
	DS      []string `json:"ds"`
	Waiting bool     `json:"waiting"`          // until somebody says that the parent has them
	Parent  string   `json:"parent,omitempty"` // what the last look at the parent found
	// Progress tells of a roll of all keys, or that the zone is to be unsigned.
	Progress string `json:"progress,omitempty"`

	Signatures int       `json:"signatures"` // in force
	Made       uint64    `json:"made"`       // since the start
	Signed     time.Time `json:"signed,omitzero"`
	Seconds    float64   `json:"seconds"`           // that the last signing took
	Renewal    time.Time `json:"renewal,omitzero"`  // when the first signature is to be renewed
	Expires    time.Time `json:"expires,omitzero"`  // when the first signature expires, were it not
	NextKey    time.Time `json:"next_key,omitzero"` // when something happens to a key next
	Problems   []string  `json:"problems,omitempty"`
}

// Key is a key of a zone.
type Key struct {
	Role      string    `json:"role"` // "KSK", "ZSK" or "CSK"
	Tag       uint16    `json:"tag"`
	Algorithm string    `json:"algorithm"`
	State     string    `json:"state"`          // in words
	Next      string    `json:"next,omitempty"` // what comes next
	At        time.Time `json:"at,omitzero"`    // and when; not stated: when somebody does something
	Gone      bool      `json:"gone,omitempty"` // it stands in the zone no longer; its files are kept for a while
}

// keyTable shows the zones that are signed here, a line for each key.
func keyTable(s Status) *table {
	t := newTable("SIGNED ZONES", "ZONE", "KEY", "ALGORITHM", "STATE", "NEXT")
	for _, z := range s.Zones {
		d := z.DNSSEC
		if d == nil {
			continue
		}
		if d.CameSigned {
			t.add(z.Name, "-", "-", "came signed; the first signature expires in "+untilText(d.Expires, s.Now), "-")
			continue
		}
		var last *row
		for _, k := range d.Keys {
			last = t.add(z.Name, k.Role+" "+strconv.Itoa(int(k.Tag)), k.Algorithm, k.State, nextText(k, s.Now))
		}
		if last == nil {
			last = t.add(z.Name, "-", "-", "NO KEY", "-")
		}
		last.note("%d signatures, the first to be renewed in %s; it would expire in %s", d.Signatures, untilText(d.Renewal, s.Now), untilText(d.Expires, s.Now))
		if d.Compact {
			last.note("compact denial: a name that does not exist has a proof of its own, as far as dns.compact_share goes")
		}
		if d.Progress != "" {
			last.note("%s", d.Progress)
		}
		if d.Waiting {
			last.note("DS for the parent: %s", strings.Join(d.DS, ", "))
		}
		if d.Parent != "" {
			last.note("%s", d.Parent)
		}
	}
	return t
}

func nextText(k Key, now time.Time) string {
	switch {
	case k.Next == "":
		return "-"
	case k.At.IsZero():
		return k.Next
	}
	return fmt.Sprintf("%s in %s", k.Next, untilText(k.At, now))
}

// untilText is how long it is until t, or "-" when that isn't known.
func untilText(t, now time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return age(t.Sub(now))
}
