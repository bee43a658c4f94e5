package console

import (
	"fmt"
	"strings"
	"testing"

	"gslb/health"
)

// The table of round-trip times has a line for each site that is measured, and not more
// columns than can be read.
func TestTimesTable(t *testing.T) {
	s := Status{Sites: []Site{{Status: health.Status{Site: "kt"}}, {Status: health.Status{Site: "new"}}}}
	for i := range 14 {
		s.Times = append(s.Times, health.Times{Vantage: fmt.Sprintf("ns%d", i), RTT: map[string]float64{"kt": 12.25 + float64(i), "gone": 3}})
	}
	s.Times[1].RTT = nil
	s.Times[2].Location = &[2]float64{37, 127}
	var b strings.Builder
	if err := timesTable(s).write(&b); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(b.String()), " ")
	if !strings.Contains(got, "FROM 12 OF 14 VANTAGE POINTS SITE ns0 (nowhere) ns1 (nowhere) ns2 ns3") || !strings.Contains(got, "kt 12.25 - 14.25 15.25") || strings.Contains(got, "new") || strings.Contains(got, "gone") {
		t.Errorf("%s", b.String())
	}
	b.Reset()
	if err := timesTable(Status{}).write(&b); err != nil || b.Len() > 0 {
		t.Errorf("%q, %v", b.String(), err)
	}
}
