package history

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Order is who changes something, and why.
type Order struct {
	Who  string `json:"who"`
	Host string `json:"host,omitempty"` // where from
	Why  string `json:"why"`
	// Forced: though it takes a site above its capacity, or moves more than the breaker lets pass.
	Forced bool `json:"forced,omitempty"`
}

// The most characters of an Order's texts.
const (
	maxWho = 100
	maxWhy = 500
)

// Validate finds what is wrong with an order.
func (o Order) Validate() error {
	for _, f := range []struct {
		name, text string
		limit      int
	}{{"who", o.Who, maxWho}, {"host", o.Host, maxWho}, {"why", o.Why, maxWhy}} {
		switch {
		case strings.TrimSpace(f.text) == "" && f.name != "host":
			return fmt.Errorf("%s is missing: those who wonder later will want to know", f.name)
		case utf8.RuneCountInString(f.text) > f.limit:
			return fmt.Errorf("%s has more than %d characters", f.name, f.limit)
		case strings.ContainsFunc(f.text, unicode.IsControl):
			return fmt.Errorf("%s has a control character: must be one line of text", f.name)
		}
	}
	return nil
}

// Revision is one state of the topology, for ever the same.
type Revision struct {
	Number int64 `json:"number"` // from 1
	Order
	When  time.Time `json:"when"`
	From  int64     `json:"from,omitempty"` // the revision whose content it takes up again
	Base  int64     `json:"base"`           // the one that it was made after; 0: none
	Sum   string    `json:"sum"`            // of its Bundle
	Files int       `json:"files"`
	Bytes int       `json:"bytes"` // of all files
}

// First says who serves a revision before all do: some nodes, or all nodes to a share of
// the clients' networks. The zero First: nobody, all get it at once.
type First struct {
	Nodes []string `json:"nodes"`           // by name, sorted
	Share float64  `json:"share,omitempty"` // 0 to 1
}

// Validate finds what is wrong with it.
func (f First) Validate() error {
	switch {
	case !(f.Share >= 0 && f.Share < 1):
		return fmt.Errorf("canary: share %v: must be more than 0 and less than 1", f.Share)
	case f.Share > 0 && len(f.Nodes) > 0:
		return errors.New("canary: is for some nodes or for a share of the networks, not both")
	}
	return nil
}

// All tells whether nobody is first.
func (f First) All() bool { return len(f.Nodes) == 0 && f.Share == 0 }

func (f First) String() string {
	if f.Share > 0 {
		return fmt.Sprintf("%.3g %% of the clients' networks", 100*f.Share)
	}
	return strings.Join(f.Nodes, ", ")
}

// Canary is a revision that is tried first.
type Canary struct {
	Revision
	First
}

// Head is what the fleet is to serve.
type Head struct {
	Serial int64    `json:"serial"` // rises with every change of the head
	Newest int64    `json:"newest"` // the last number that was given
	Stable Revision `json:"stable"`
	Canary *Canary  `json:"canary,omitempty"`
}

// Trial gives the revision that a share of the clients' networks is answered by, with that share; 0: none.
func (h Head) Trial() (Revision, float64) {
	if h.Canary == nil || h.Canary.Share == 0 {
		return Revision{}, 0
	}
	return h.Canary.Revision, h.Canary.Share
}

// For gives the revision that a node is to serve; Number 0: none.
func (h Head) For(node string) Revision {
	if h.Canary != nil && slices.Contains(h.Canary.Nodes, node) {
		return h.Canary.Revision
	}
	return h.Stable
}

// StepsBack tells whether h is of a time before seen: etcd was restored, or begun
// anew. Then "" is for it goes on, otherwise it says what is wrong.
//
//	serial of h      content           verdict
//	higher           any               goes on
//	the same         the same          goes on
//	the same         another           steps back: another history
//	lower            any               steps back
func (h Head) StepsBack(seen Head) string {
	switch {
	case h.Serial > seen.Serial:
		return ""
	case h.Serial == seen.Serial && h.same(seen):
		return ""
	case h.Serial == seen.Serial:
		return fmt.Sprintf("etcd has another revision %d of the topology than the one that was served", h.Newest)
	}
	return fmt.Sprintf("etcd has stepped back: its newest revision of the topology is %d, %d was seen before (was it restored from an old backup?)", h.Newest, seen.Newest)
}

func (h Head) same(o Head) bool {
	canary := func(h Head) string {
		if h.Canary == nil {
			return ""
		}
		return fmt.Sprint(h.Canary.Number, h.Canary.Sum, h.Canary.Nodes, h.Canary.Share)
	}
	return h.Stable.Number == o.Stable.Number && h.Stable.Sum == o.Stable.Sum && canary(h) == canary(o)
}
