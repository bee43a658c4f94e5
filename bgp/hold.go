package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Wish is an address that is to be announced while it is ready, and why it is or is not, in words.
type Wish struct {
	Address netip.Addr
	Ready   bool
	Why     string
}

// Join makes one wish of those for the same address: it is ready while all are. The
// result is sorted by address.
func Join(wishes []Wish) []Wish {
	sorted := slices.Clone(wishes)
	slices.SortStableFunc(sorted, func(a, b Wish) int { return a.Address.Compare(b.Address) })
	var out []Wish
	for _, w := range sorted {
		if n := len(out); n == 0 || out[n-1].Address != w.Address {
			out = append(out, w)
		} else if out[n-1].Ready && !w.Ready {
			out[n-1] = w
		}
	}
	return out
}

// Hold decides when one address is announced. It is withdrawn at once: users who are sent
// where nobody answers are lost. But each withdrawal that comes soon after the announcement
// doubles the time for which it must be healthy first, so that one that comes and goes does
// not make routers' work, and is not damped by them for longer (RFC 2439).
//
//	is ready │ announced │ then
//	─────────┼───────────┼───────────────────────────────────────────────────────────────────
//	no       │ no        │ wait
//	no       │ yes       │ withdraw; the wait doubles, if it was announced for less than most
//	         │           │ (up to most), else it is the configured one
//	yes      │ no        │ announce once it has been ready for the wait
//	yes      │ yes       │ stay
//
// The zero Hold is of an address that was never announced.
type Hold struct {
	Announced bool
	Since     time.Time     // of Announced as it is; zero: never announced
	ready     time.Time     // since when; zero: it is not
	wait      time.Duration // 0: the configured one
}

// Step tells whether the address is to be announced now, and reports a change. after and
// most are Config.AnnounceAfter and AnnounceAfterMost.
func (h *Hold) Step(ready bool, now time.Time, after, most time.Duration) (changed bool) {
	if !ready {
		h.ready = time.Time{}
		if !h.Announced {
			return false
		}
		if now.Sub(h.Since) < most {
			h.wait = min(max(2*max(h.wait, after), time.Second), most)
		} else {
			h.wait = 0
		}
		h.Announced, h.Since = false, now
		return true
	}
	if h.ready.IsZero() {
		h.ready = now
	}
	if h.Announced || now.Before(h.Due(after)) {
		return false
	}
	h.Announced, h.Since = true, now
	return true
}

// Due is when an address that is ready and not announced will be; zero: it is not ready.
func (h *Hold) Due(after time.Duration) time.Time {
	if h.ready.IsZero() {
		return time.Time{}
	}
	return h.ready.Add(max(h.wait, after))
}

// Status is what people see.
type Status struct {
	AS        uint32           `json:"as"`
	RouterID  string           `json:"router_id"`
	Neighbors []NeighborStatus `json:"neighbors"`
	Addresses []AddressStatus  `json:"addresses"`
}

// NeighborStatus is a session.
type NeighborStatus struct {
	Address string    `json:"address"`
	AS      uint32    `json:"as"`
	State   string    `json:"state"`           // as RFC 4271 calls it, in lower case: "established" when it is up
	Since   time.Time `json:"since"`           // it is up, or is not
	Error   string    `json:"error,omitempty"` // why it ended, or does not come about
}

// Established is the State of a session that is up.
const Established = "established"

// AddressStatus is an address that is announced, or is to be.
type AddressStatus struct {
	Address   string    `json:"address"`
	Announced bool      `json:"announced"`
	Since     time.Time `json:"since,omitzero"` // zero: it was never announced
	Due       time.Time `json:"due,omitzero"`   // when it will be, if it stays healthy
	Why       string    `json:"why"`
}

// patience is how long a session that is not up is nobody's concern: after a start it takes
// some seconds.
const patience = 15 * time.Second

// Problems lists what a person should look at, a sentence each.
func (s *Status) Problems(now time.Time) (lines []string) {
	for _, n := range s.Neighbors {
		if n.State != Established && now.Sub(n.Since) > patience {
			why := n.Error
			if why == "" {
				why = "no answer yet"
			}
			lines = append(lines, fmt.Sprintf("BGP: the session with %s (AS %d) is not up since %s: %s", n.Address, n.AS, n.Since.Local().Format("2006-01-02 15:04:05 MST"), why))
		}
	}
	for _, a := range s.Addresses {
		if !a.Announced && a.Due.IsZero() {
			lines = append(lines, fmt.Sprintf("BGP: %s is not announced: %s", a.Address, a.Why))
		}
	}
	return lines
}
