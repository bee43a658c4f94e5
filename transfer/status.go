package transfer

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Status is how a zone moves. Times are zero where there is none.
type Status struct {
	Zone      string // presentation form
	Role      string // "primary", "secondary" or "catalog"
	Catalog   string // that lists it, where it is served for that reason
	Primary   string // that the copy comes from
	Moved     time.Time
	Confirmed time.Time // the copy was known to be the newest
	Next      time.Time // the primaries are asked again
	Expires   time.Time
	// Problems are what a person should look at, a sentence each.
	Problems []string
	// Sent and Taken count transfers out and in, Failed and Refused those that
	// came to nothing; Updates and UpdatesRefused likewise, and UpdatesForwarded those that
	// the primary made.
	Sent, SentFailed, Refused uint64
	Taken, TakenFailed        uint64
	Updates, UpdatesRefused   uint64
	UpdatesForwarded          uint64
	History                   int // changes that can be sent by IXFR
}

// Status tells how each zone moves, by name.
func (m *Manager) Status() []Status {
	var all []Status
	for _, z := range m.state.Load().zones {
		all = append(all, z.status())
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Zone, b.Zone) })
	return all
}

func (z *zone) status() Status {
	set := z.set.Load()
	s := Status{
		Zone: z.name, Role: "primary",
		Sent: z.count.out.Load(), SentFailed: z.count.outFailed.Load(), Refused: z.count.refused.Load(),
		Taken: z.count.in.Load(), TakenFailed: z.count.inFailed.Load(),
		Updates: z.count.updates.Load(), UpdatesRefused: z.count.updatesRefused.Load(), UpdatesForwarded: z.count.updatesForwarded.Load(),
	}
	if set.Catalog != "" {
		s.Role = "catalog"
	}
	if v := z.served.Load(); v != nil {
		s.History = len(v.changes)
	}
	for _, fault := range []*atomic.Pointer[string]{&z.said, &z.broken, &z.backward, &z.unnoted, &z.uncopied} {
		if why := fault.Load(); why != nil && *why != "" {
			s.Problems = append(s.Problems, *why)
		}
	}
	if !set.secondary() {
		return s
	}
	if set.Catalog == "" {
		s.Role = "secondary"
	}
	if set.from != nil {
		s.Catalog = set.from.name
	}
	at := func(unix int64) time.Time {
		if unix == 0 {
			return time.Time{}
		}
		return time.Unix(unix, 0)
	}
	s.Moved, s.Confirmed, s.Next = at(z.moved.Load()), at(z.confirmed.Load()), at(z.due.Load())
	if p := z.primary.Load(); p != nil {
		s.Primary = p.String()
	}
	raw := z.raw.Load()
	if raw != nil && !s.Confirmed.IsZero() {
		s.Expires = s.Confirmed.Add(timersOf(raw).expire)
	}
	fault := z.fault.Load()
	switch {
	case fault == nil || *fault == "":
	case z.lapsed.Load():
		s.Problems = append(s.Problems, fmt.Sprintf("zone %s has expired, and is answered SERVFAIL: %s", z.name, *fault))
	case raw == nil:
		s.Problems = append(s.Problems, fmt.Sprintf("zone %s has never been transferred, and is answered SERVFAIL: %s", z.name, *fault))
	default:
		s.Problems = append(s.Problems, fmt.Sprintf("zone %s cannot be refreshed: %s", z.name, *fault))
	}
	return s
}
