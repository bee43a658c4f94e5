package steer

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

var (
	testSites  = []Site{{Name: "kt"}, {Name: "lgu", Weight: 3}, {Name: "cn"}, {Name: "us"}}
	testGroups = map[string][]Member{
		"korea": {{Site: 1, Weight: 2}, {Site: 0, Weight: 1}},
		"empty": {},
		"us":    {{Site: 3, Weight: 1}},
	}
)

func TestParseTarget(t *testing.T) {
	everyone := []Member{{0, 1}, {1, 3}, {2, 1}, {3, 1}}
	for _, tc := range []struct {
		in      string
		pick    Pick
		members []Member
		err     string
	}{
		{"kt", Nearest, []Member{{0, 1}}, ""},
		{"lgu", Nearest, []Member{{1, 3}}, ""},
		{" kt , lgu ", Nearest, []Member{{0, 1}, {1, 3}}, ""},
		{"all", Nearest, everyone, ""},
		{"nearest:all", Nearest, everyone, ""},
		{"weighted:korea", Weighted, []Member{{1, 2}, {0, 1}}, ""},
		{"hash:kt,lgu", Hash, []Member{{0, 1}, {1, 3}}, ""},
		{"load: all", Load, everyone, ""},
		{"round-robin:korea,cn", RoundRobin, []Member{{1, 2}, {0, 1}, {2, 1}}, ""},
		{"weighted:kt=95, lgu = 5", Weighted, []Member{{0, 95}, {1, 5}}, ""},
		{"weighted:kt=0,lgu=0.5", Weighted, []Member{{0, 0}, {1, 0.5}}, ""},

		{"", 0, nil, `"": must name a site or a group`},
		{"nearest:", 0, nil, `"": must name a site or a group`},
		{"kt,,lgu", 0, nil, `"": must name a site or a group`},
		{"=3", 0, nil, `"=3": must name a site or a group`},
		{"ktt", 0, nil, `no site or group is named "ktt": must be one of all, cn, empty, korea, kt, lgu, us`},
		{"KT", 0, nil, `no site or group is named "KT": must be one of`},
		{"fastest:all", 0, nil, `no pick is named "fastest": must be one of nearest, weighted, round-robin, hash, load, latency`},
		{":kt", 0, nil, `no pick is named ""`},
		{"us", 0, nil, `"us" is both a site and a group: one must be renamed`},
		{"empty", 0, nil, `group "empty" is empty: must have at least one site`},
		{"kt,kt", 0, nil, `site "kt" occurs twice: must occur once`},
		{"korea,kt", 0, nil, `site "kt" occurs twice: must occur once`},
		{"korea=2", 0, nil, `"korea=2": "korea" is a group, whose members have weights of their own; only a site can be given one here`},
		{"kt=", 0, nil, `weight "" of "kt": must be 0, or from 1e-9 to 1e9`},
		{"kt=-1", 0, nil, `weight "-1" of "kt": must be 0, or from 1e-9 to 1e9`},
		{"kt=NaN", 0, nil, `weight "NaN" of "kt"`},
		{"kt=Inf", 0, nil, `weight "Inf" of "kt"`},
		{"kt=1=2", 0, nil, `weight "1=2" of "kt"`},
	} {
		got, err := ParseTarget(tc.in, testSites, testGroups)
		if tc.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), tc.err) {
				t.Errorf("ParseTarget(%q): error %v, want %s", tc.in, err, tc.err)
			}
			continue
		}
		want := Target{Label: strings.TrimSpace(tc.in), Pick: tc.pick, Members: tc.members}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ParseTarget(%q) = %+v, %v, want %+v", tc.in, got, err, want)
		}
	}
}

// The name "all" is every site, unless something declared has it.
func TestParseTargetAll(t *testing.T) {
	got, err := ParseTarget("all", testSites, map[string][]Member{"all": {{Site: 2, Weight: 1}}})
	if err != nil || len(got.Members) != 1 || got.Members[0].Site != 2 {
		t.Errorf("a group named all: %+v, %v", got, err)
	}
	got, err = ParseTarget("all", []Site{{Name: "kt"}, {Name: "all"}}, nil)
	if err != nil || len(got.Members) != 1 || got.Members[0].Site != 1 {
		t.Errorf("a site named all: %+v, %v", got, err)
	}
	if _, err = ParseTarget("all", nil, nil); err == nil {
		t.Error("no sites at all: no error")
	}
}

func TestParseTargetErrors(t *testing.T) {
	_, err := ParseTarget("hsah:kt", testSites, nil)
	var unknown *UnknownError
	if !errors.As(err, &unknown) || unknown.What != "pick" || unknown.Name != "hsah" || len(unknown.Known) != len(pickNames) {
		t.Errorf("error %#v", err)
	}
	if _, err := ParseTarget("g", testSites, map[string][]Member{"g": {{Site: 9}}}); err == nil ||
		err.Error() != "member refers to site number 9: must be 0 to 3" {
		t.Errorf("group with a site that is not: %v", err)
	}
	many := make([]Site, 30)
	for i := range many {
		many[i].Name = string(rune('A' + i))
	}
	if _, err := ParseTarget("zz", many, nil); err == nil || !strings.HasSuffix(err.Error(), " and 19 more") {
		t.Errorf("many names: %v", err)
	}
}

func TestPickText(t *testing.T) {
	for p := Nearest; p <= Load; p++ {
		text, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var back Pick
		if err := back.UnmarshalText(text); err != nil || back != p || p.String() != string(text) {
			t.Errorf("%v: %s, %v, %v", p, text, back, err)
		}
	}
	if _, err := Pick(99).MarshalText(); err == nil || Pick(99).String() != "Pick(99)" {
		t.Errorf("Pick(99) is %v, %v", Pick(99), err)
	}
	if err := new(Pick).UnmarshalText([]byte("fastest")); err == nil {
		t.Error("fastest is a pick")
	}
}

// Whatever the text, a target without an error is one that Compile takes.
func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"kt", "nearest:all", "weighted:korea", "weighted:kt=95,lgu=5", "hash: kt , lgu", "load:all",
		"round-robin:korea,cn", "", ":", "=", ",", "kt=", "kt=1e9", "kt=1e10", "kt=0x1p-3", "all,all", "\x00", "nearest:nearest:kt"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := ParseTarget(s, testSites, testGroups)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without words")
			}
			return
		}
		c, err := Compile(&Policy{Rules: []Rule{{Tiers: []Target{target}}}}, testSites)
		if err != nil {
			t.Fatalf("ParseTarget(%q) took what Compile does not: %v", s, err)
		}
		if choice := c.Live(nil).Choose(0, Ask{}, nil); int(choice.Site) >= len(testSites) {
			t.Errorf("%q gives site %d", s, choice.Site)
		}
	})
}
