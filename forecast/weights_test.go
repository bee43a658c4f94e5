package forecast

import (
	"strings"
	"testing"

	"gslb/steer"
)

func TestReadWeightsRefuses(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "no weights"},
		{"network,queries\n", "no weights"},
		{"203.0.113.0/24,1\nKR,5\n", "line 2: networks and countries in one file"},
		{"203.0.113.0/24,1\n203.0.114.0/24,many\n", `line 2: weight "many"`},
		{"KR,-1\n", `line 1: weight "-1"`},
		{"KR,Inf\n", `line 1: weight "Inf"`},
		{"KR,1\nKorea,1\n", `line 2: "Korea"`},
		{"KR,1\n\n# \nKR\n", `line 4: "KR"`},
	} {
		if _, err := ReadWeights(strings.NewReader(test.text)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", test.text, err, test.want)
		}
	}
}

// By recorded queries and by people: nested networks count once, what no database knows is told.
func TestWeights(t *testing.T) {
	topology := &Topology{Sites: sites(), Places: places(t), Policies: []steer.Policy{policy(t, "www.", []string{"KT", "kt"}, []string{"KR", "lgu"}, []string{"CN", "cn"}, []string{"*", "us"})}}
	for _, test := range []struct {
		text      string
		total     float64
		uncounted float64
		share     map[string]float64
	}{
		{"network,queries\n203.0.113.0/24,30\n203.0.113.0/25,10\n192.0.2.7,60\n", 100, 0, map[string]float64{"kt": .4, "cn": .6}},
		{"2001:db8::/32,50\n198.51.100.0/24,50", 100, 0, map[string]float64{"us": .5, "lgu": .5}},
		{"10.0.0.0/8,5\n10.0.0.0/9,10\n10.128.0.0/9,10", 20, 5, map[string]float64{"us": 1}},
		{"KR,60\nKR,LG Uplus,20\nUS,20\nDE,7", 100, 7, map[string]float64{"kt": .6, "lgu": .2, "us": .2}},
		{"cn,4", 4, 0, map[string]float64{"cn": 1}},
	} {
		w, err := ReadWeights(strings.NewReader(test.text))
		if err != nil {
			t.Errorf("%q: %v", test.text, err)
			continue
		}
		c := compare(t, survey(t, topology, nil, w), Side{}, Side{}, Options{})
		if !near(c.Users, test.total) || !near(c.Uncounted, test.uncounted) {
			t.Errorf("%q: %v users, %v uncounted", test.text, c.Users, c.Uncounted)
		}
		for _, s := range c.Sites {
			if !near(s.ShareAfter, test.share[s.Site]) {
				t.Errorf("%q: %s has %v, want %v", test.text, s.Site, s.ShareAfter, test.share[s.Site])
			}
		}
	}
}

// Without a file: what the configuration names counts, what is reserved does not.
func TestAddressesThatCount(t *testing.T) {
	topology := &Topology{Sites: sites(), Places: places(t), Policies: []steer.Policy{policy(t, "www.", []string{"KR", "kt"}, []string{"10.0.0.0/8", "lgu"}, []string{"*", "us"})}}
	c := compare(t, survey(t, topology, nil, nil), Side{}, Side{}, Options{})
	// All of the public space, since there is no database that could say where users
	// are; and of the special one the rule's network and what the overrides name.
	special := []int{1 << 24, 1 << 24, 1 << 22, 1 << 24, 1 << 16, 1 << 20, 1 << 8, 1 << 8, 1 << 16, 1 << 17, 1 << 8, 1 << 8, 1 << 29}
	want := float64(1 << 32)
	for _, n := range special {
		want -= float64(n)
	}
	want += 1<<24 + 4*256
	if !near(c.Users, want) {
		t.Errorf("%v addresses, want %v", c.Users, want)
	}
	if got := c.site("lgu").ShareAfter * c.Users; !near(got, 1<<24) {
		t.Errorf("lgu: %v addresses", got)
	}
	c = compare(t, survey(t, topology, nil, &Weights{IPv6: true}), Side{}, Side{}, Options{})
	if got := c.Users; got < 1<<45-1<<33 || got > 1<<45 {
		t.Errorf("IPv6: %v networks", got)
	}
}

func FuzzReadWeights(f *testing.F) {
	f.Add("network,queries\n203.0.113.0/24,17\n2001:db8::/32,1e3\n")
	f.Add("KR,51700000\nKR,LG Uplus,4600000\n")
	f.Add("::ffff:10.0.0.0/104,1")
	f.Fuzz(func(t *testing.T, text string) {
		w, err := ReadWeights(strings.NewReader(text))
		if err == nil && len(w.networks)+len(w.groups) == 0 {
			t.Error("no weights and no error")
		}
	})
}
