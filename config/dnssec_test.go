package config

import (
	"path/filepath"
	"testing"
	"time"

	"gslb/dnssec"
)

func TestSignedBy(t *testing.T) {
	c, err := Load("testdata/good/dnssec.toml")
	if err != nil {
		t.Fatal(err)
	}
	usual, ok := c.SignedBy("abc.org.")
	if !ok || usual.Policy() != dnssec.DefaultPolicy || usual.Times() != dnssec.DefaultTimes {
		t.Errorf("the default is %v, %+v", ok, usual)
	}
	strict, ok := c.SignedBy("abc.com.")
	p := strict.Policy()
	if !ok || p.Algorithm != dnssec.ED25519 || p.CSK || p.KSKLifetime != 364*24*time.Hour || p.ZSKLifetime != 90*24*time.Hour {
		t.Errorf("strict is %v, %+v", ok, p)
	}
	s := strict.Signing()
	if s.TTL != 1800 || s.Denial != dnssec.WithNSEC3 || !s.NSEC3.OptOut || len(s.CDS) != 2 || s.Times.Step != 30*time.Minute {
		t.Errorf("strict signs as %+v", s)
	}
	if got := strict.Parents(); len(got) != 2 || got[0].String() != "192.0.2.1:53" || got[1].String() != "[2001:db8::1]:5353" {
		t.Errorf("resolvers are %v", got)
	}
	if _, ok := c.SignedBy("sub.abc.com."); ok {
		t.Error("a zone that is not there is signed")
	}
	dir, err := filepath.Abs("testdata/good/keys")
	if err != nil {
		t.Fatal(err)
	}
	if c.Node.Keys != dir || *c.Node.MaintainKeys {
		t.Errorf("node is %+v", c.Node)
	}
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"14d": 14 * day, "1w": 7 * day, "1w2d": 9 * day, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute, "0d": 0,
		"": -1, "d": -1, "1d2w": -1, "-1d": -1, "1d-2h": -1, "1.5d": -1, "99999w": -1, "1": -1, "1d1": -1,
	} {
		got, err := ParseDuration(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("%q is %v, %v, want %v", text, got, err, want)
		}
	}
}
