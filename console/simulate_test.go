package console

import (
	"encoding/json"
	"testing"

	"gslb/forecast"
)

func TestSimulate(t *testing.T) {
	srv := start(t, Config{}, &fake{status: demoStatus()})
	var c forecast.Comparison
	if err := json.NewDecoder(ask(t, "GET", srv.URL+"/api/v1/simulate?down=kt&total=20000", "").Body).Decode(&c); err != nil || len(c.Sites) != 5 || c.Sites[0].ShareAfter != 0 {
		t.Errorf("%+v, %v", c, err)
	}
	var all []OneDown
	if err := json.NewDecoder(ask(t, "GET", srv.URL+"/api/v1/simulate/each", "").Body).Decode(&all); err != nil || len(all) != 5 || all[1].Down != "lgu" || all[1].Sites[1].ShareAfter != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	for _, tt := range []struct {
		query string
		code  int
		text  string
	}{
		{"down=nosuch", 404, "nosuch"},
		{"total=-1", 400, "must be a load above 0"},
		{"total=NaN", 400, "must be a load above 0"},
		{"total=1&total=2", 400, "given 2 times"},
		{"most=0", 400, "must be a number of 1 to 100"},
		{"away=kt", 400, "must be down, drain, up, total or most"},
	} {
		wantError(t, ask(t, "GET", srv.URL+"/api/v1/simulate?"+tt.query, ""), tt.code, tt.text)
	}
}

func TestDifferences(t *testing.T) {
	st := demoStatus()
	st.Topology.Head.Newest = 4
	srv := start(t, Config{}, &fake{status: st})
	var d Differences
	if err := json.NewDecoder(ask(t, "GET", srv.URL+"/api/v1/topology/diff?from=3&to=4", "").Body).Decode(&d); err != nil || d.From != 3 || d.To != 4 || len(d.Lines) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	wantError(t, ask(t, "GET", srv.URL+"/api/v1/topology/diff?from=3", ""), 400, "to \"\": must be the number of a revision")
	wantError(t, ask(t, "GET", srv.URL+"/api/v1/topology/diff?from=3&to=9", ""), 404, "no such revision")
	closed := start(t, Config{Token: token}, &fake{status: st})
	wantError(t, ask(t, "GET", closed.URL+"/api/v1/topology/diff?from=3&to=4", ""), 401, "token missing or wrong")
}
