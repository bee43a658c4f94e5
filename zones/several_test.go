package zones

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// What is signed ahead are the sets of each tier, each once; more than can be is refused,
// with what to do.
func TestCombinations(t *testing.T) {
	sites := func(n int) *Steered {
		s := &Steered{Name: "many.abc.com.", answers: 3, sites: make([]siteSets, n)}
		for i := range s.sites {
			s.sites[i].a, s.sites[i].aaaa = newRRset(1, 30, netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).AsSlice()), RRset{}
		}
		return s
	}
	s := sites(10)
	s.groups = [][]int{{0, 1, 2, 3, 4}, {4, 3}, {6}, {7, 8}}
	all, err := s.joints()
	if err != nil || len(all) != 10+10+1 { // pairs and triples of five; one pair; no IPv6
		t.Errorf("%d sets, %v", len(all), err)
	}
	seen := map[string]bool{}
	for _, j := range all {
		if key := fmt.Sprint(j.kind, j.sites); seen[key] || j.kind != 0 {
			t.Errorf("%s twice, or of no records", key)
		} else {
			seen[key] = true
		}
	}
	for n, want := range map[int]int{1: 0, 2: 1, 3: 4, 10: 165} {
		if got := countSets(n, 3); got != want {
			t.Errorf("%d sets of %d sites, want %d", got, n, want)
		}
	}
	s = sites(250)
	s.groups = [][]int{nil}
	for i := range s.sites {
		s.groups[0] = append(s.groups[0], i)
	}
	if _, err := s.joints(); err == nil || !strings.Contains(err.Error(), "many.abc.com.: any 3 of 250 sites") || !strings.Contains(err.Error(), "lower answers") {
		t.Errorf("%v", err)
	}
	_, err = Build(nil, []SteeredConfig{{Name: "www.abc.com.", TTL: time.Minute, Answers: 2}}, nil)
	if err == nil {
		t.Error("a name in no zone")
	}
	z, err := Read(Config{Name: "abc.com.", File: "f"}, strings.NewReader("@ 60 SOA a b 1 2 3 4 5\n@ 60 NS a\na 60 A 192.0.2.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Build([]*Zone{z}, []SteeredConfig{{Name: "www.abc.com.", TTL: time.Minute, Answers: 2, Sites: []int{0}}}, []Site{{Name: "kt", CNAME: "a.abc.com."}}); err == nil || !strings.Contains(err.Error(), "one CNAME only") {
		t.Errorf("several CNAMEs: %v", err)
	}
}
