package health

import "testing"

func TestVantageText(t *testing.T) {
	for text, ok := range map[string]bool{
		"all": true, "nearest:3": true, "country:KR, isp:LG U+": true, "ns1.seoul,ns2": true,
		"nearest:0": false, "nearest:x": false, "planet:earth": false, "a,,b": false, "country:": false,
	} {
		var v Vantage
		if err := v.UnmarshalText([]byte(text)); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if !Vantage("").All() || !Vantage("nearest:1, all").All() || Vantage("nearest:1").All() {
		t.Error("All")
	}
}

func TestQuorum(t *testing.T) {
	for text, want := range map[string]Quorum{"2": {Count: 2}, "0.5": {Share: 0.5}, "50%": {Share: 0.5}, "100%": {Share: 1}} {
		var q Quorum
		if err := q.UnmarshalText([]byte(text)); err != nil || q != want {
			t.Errorf("%q: %+v, %v", text, q, err)
		}
	}
	for _, text := range []string{"", "0", "-1", "1.5", "200%", "half", "NaN"} {
		if err := new(Quorum).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
	for _, test := range []struct {
		q           Quorum
		count, down int
		want        bool
	}{
		{Quorum{Count: 2}, 5, 1, false}, {Quorum{Count: 2}, 5, 2, true},
		{Quorum{Count: 3}, 2, 1, false}, {Quorum{Count: 3}, 2, 2, true}, // fewer live than it wants: all of them
		{Quorum{}, 4, 2, false}, {Quorum{}, 4, 3, true},
		{Quorum{Share: 0.5}, 4, 2, true},
	} {
		if got := (tally{count: test.count, down: test.down}).reaches(test.q); got != test.want {
			t.Errorf("%v with %d of %d down: %v", test.q, test.down, test.count, got)
		}
	}
}
