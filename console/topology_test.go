package console

import (
	"context"
	"errors"
	"testing"
	"time"

	"gslb/history"
)

func TestTopologyEndpoints(t *testing.T) {
	f := &fake{status: demoStatus()}
	srv := start(t, Config{Listen: "127.0.0.1:0", Token: token}, f)
	url := srv.URL + "/api/v1/topology"
	authorized := "Authorization: Bearer " + token
	order := `{"action":"promote","who":"lee","why":"good","base":0}`

	wantError(t, ask(t, "POST", url, order, asJSON), 401, "token")
	wantError(t, ask(t, "POST", url, `{"action":"promote","who":"lee","base":0}`, asJSON, authorized), 400, "why is missing")
	wantError(t, ask(t, "POST", url, `{"nonsense":1}`, asJSON, authorized), 400, "nonsense")
	if r := ask(t, "POST", url, order, asJSON, authorized); r.StatusCode != 200 {
		t.Errorf("an order: %d", r.StatusCode)
	}
	wantError(t, ask(t, "POST", url, order, asJSON, authorized), 409, "changed")
	// A topology may hold secrets: reading one takes the token.
	wantError(t, ask(t, "GET", url+"/revisions/1", ""), 401, "token")
	if r := ask(t, "GET", url+"/revisions/1", "", authorized); r.StatusCode != 200 {
		t.Errorf("a revision: %d", r.StatusCode)
	}
	wantError(t, ask(t, "GET", url+"/revisions/9", "", authorized), 404, "no such revision")
	wantError(t, ask(t, "GET", url+"/revisions/x", "", authorized), 400, "number")
	wantError(t, ask(t, "GET", srv.URL+"/api/v1/events?since=yesterday", ""), 400, "since")
	wantError(t, ask(t, "GET", srv.URL+"/api/v1/events?limit=0", ""), 400, "limit")
	wantError(t, ask(t, "GET", srv.URL+"/api/v1/events?kind=foo", ""), 400, "must be one of override, release")

	c := NewClient(srv.URL, token)
	defer c.Close()
	if _, err := c.OrderTopology(context.Background(), TopologyOrder{Order: history.Order{Who: "lee", Why: "late"}, Action: ActionPromote}); !errors.Is(err, history.ErrConflict) {
		t.Errorf("a late order by the client: %v", err)
	}
	events, err := c.Events(context.Background(), history.Filter{Site: "kt", Since: fakeNow, Limit: 5})
	if err != nil || len(events) != 1 || events[0].Site != "kt" {
		t.Errorf("events %+v, %v", events, err)
	}
}

func TestSince(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"2h": now.Add(-2 * time.Hour), "3d": now.AddDate(0, 0, -3), "0s": now, "2026-01-02T03:04:05Z": time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	} {
		if got, err := Since(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "-1h", "-3d", "yesterday", "99999999999d"} {
		if got, err := Since(text, now); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestReloadEndpoint(t *testing.T) {
	srv := start(t, Config{Listen: "127.0.0.1:0", Token: token}, &fake{status: demoStatus()})
	url := srv.URL + "/api/v1/reload"
	wantError(t, ask(t, "POST", url, `{}`, asJSON), 401, "token")
	authorized := "Authorization: Bearer " + token
	wantError(t, ask(t, "POST", url, `{"zone":"abc.com."}`, asJSON, authorized), 400, "zone")
	wantError(t, ask(t, "POST", url, `{"zones":["broken."]}`, asJSON, authorized), 422, "still served: broken.zone:3:1")
	c := NewClient(srv.URL, token)
	defer c.Close()
	if r, err := c.Reload(context.Background(), []string{"abc.com."}); err != nil || r.Changed != 1 || r.Zones != 3 || r.Took != time.Second {
		t.Errorf("%+v, %v", r, err)
	}
}
