package main

import (
	"strings"
	"testing"

	"gslb/config"
	"gslb/health"
)

// An order for a site ends with the site's name: whoever renames it is told, since its users come back.
func TestLostOrders(t *testing.T) {
	sites := func(names ...string) *config.Config {
		c := &config.Config{}
		for _, name := range names {
			c.Sites = append(c.Sites, config.Site{Name: name})
		}
		return c
	}
	ordered := &health.Override{Site: "kt", Kind: health.Drain, Who: "root", Why: "new switch"}
	states := &health.States{Sites: map[string]health.Status{"kt": {Site: "kt", Override: ordered}, "us": {Site: "us"}}}
	for _, tc := range []struct {
		what          string
		before, after *config.Config
		want          string // of the only warning; "": none
	}{
		{"renamed", sites("kt", "us"), sites("kt2", "us"), "site kt is drained by root (new switch), and is no site any more"},
		{"it stays", sites("kt", "us"), sites("kt", "us2"), ""},
		{"it was none before", sites("us"), sites("us"), ""},
	} {
		got := lostOrders(tc.before, tc.after, states)
		if tc.want == "" && len(got) > 0 || tc.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tc.want)) {
			t.Errorf("%s: %q, want %q", tc.what, got, tc.want)
		}
	}
}

// Before the first revision there was nothing: what a rollback from there brings is all new.
func TestBetweenNothing(t *testing.T) {
	if lines, err := between(t.Context(), nil, 0, 0); err != nil || len(lines) > 0 {
		t.Errorf("%v, %v", lines, err)
	}
}
