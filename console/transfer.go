package console

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Transfer is how a zone moves between servers.
type Transfer struct {
	Role    string `json:"role"`              // "primary", "secondary" or "catalog"
	Catalog string `json:"catalog,omitempty"` // that lists it, where it is served for that reason
	// Of a secondary; times that are not known are not stated.
	Primary   string    `json:"primary,omitempty"`
	Moved     time.Time `json:"transferred,omitzero"`
	Confirmed time.Time `json:"confirmed,omitzero"` // when it was known to be the newest
	Next      time.Time `json:"next_refresh,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`

	Sent           uint64 `json:"sent"` // transfers to others
	SentFailed     uint64 `json:"sent_failed"`
	Refused        uint64 `json:"refused"`
	Taken          uint64 `json:"taken"` // transfers from a primary
	TakenFailed    uint64 `json:"taken_failed"`
	Updates        uint64 `json:"updates"`
	UpdatesRefused uint64 `json:"updates_refused"`

	UpdatesForwarded uint64 `json:"updates_forwarded"`
	History          int    `json:"history"` // changes that can be sent by IXFR
}

// moveTable shows the zones that move.
func moveTable(s Status) *table {
	t := newTable("ZONES THAT MOVE", "ZONE", "ROLE", "SERIAL", "FROM", "CONFIRMED", "NEXT", "SENT", "UPDATES")
	for _, z := range s.Zones {
		m := z.Transfer
		if m == nil {
			continue
		}
		confirmed := "-"
		if !m.Confirmed.IsZero() {
			confirmed = sinceText(m.Confirmed, s.Now) + " ago"
		}
		row := t.add(z.Name, m.Role, fmt.Sprint(z.Serial), or(m.Primary, "-"), confirmed, untilText(m.Next, s.Now), fmt.Sprint(m.Sent), fmt.Sprint(m.Updates))
		var notes []string
		for what, n := range map[string]uint64{"failed to be sent": m.SentFailed, "failed to come": m.TakenFailed, "refused": m.Refused, "updates refused": m.UpdatesRefused, "updates forwarded": m.UpdatesForwarded} {
			if n > 0 {
				notes = append(notes, fmt.Sprintf("%d %s", n, what))
			}
		}
		if m.Catalog != "" {
			notes = append(notes, "listed by "+m.Catalog)
		}
		slices.Sort(notes)
		if len(notes) > 0 {
			row.note("%s", strings.Join(notes, ", "))
		}
	}
	return t
}
