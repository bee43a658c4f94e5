package console

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gslb/health"
)

func TestPush(t *testing.T) {
	f := &fake{}
	srv := start(t, Config{Token: "a token of some length"}, f)
	const auth, typ = "Authorization: Bearer a token of some length", "Content-Type: application/json"
	resp := ask(t, "POST", srv.URL+"/api/v1/push", `{"check":"app","target":"kt","address":"192.0.2.1","state":"degraded","ttl":"45s","detail":" queue 12 "}`, auth, typ)
	if resp.StatusCode != http.StatusNoContent {
		t.Fatalf("status %d", resp.StatusCode)
	}
	want := Push{Check: "app", Target: "kt", Address: "192.0.2.1", State: health.Degraded, TTL: 45 * time.Second, Detail: "queue 12"}
	if len(f.pushed) != 1 || f.pushed[0] != want {
		t.Fatalf("got %+v", f.pushed)
	}
	for _, test := range []struct {
		body, want string
		code       int
		headers    []string
	}{
		{`{"check":"app","target":"kt","state":"up"}`, "token", 401, []string{typ}},
		{`{"check":"app","target":"kt","state":"up"}`, "content type", 415, []string{auth}},
		{`{"check":"none","target":"kt","state":"up"}`, "no check of type push", 404, nil},
		{`{"target":"kt","state":"up"}`, "check is missing", 400, nil},
		{`{"check":"app","state":"up"}`, "target is missing", 400, nil},
		{`{"check":"app","target":"kt"}`, "state is missing", 400, nil},
		{`{"check":"app","target":"kt","state":"unknown"}`, "state is missing", 400, nil},
		{`{"check":"app","target":"kt","state":"fine"}`, "fine", 400, nil},
		{`{"check":"app","target":"kt","state":"up","ttl":"10ms"}`, "ttl", 400, nil},
		{`{"check":"app","target":"kt","state":"up","ttl":"48h"}`, "ttl", 400, nil},
		{`{"check":"app","target":"kt","state":"up","detail":"a\nb"}`, "one line", 400, nil},
		{`{"check":"app","target":"kt","state":"up","detail":"` + strings.Repeat("x", 201) + `"}`, "one line", 400, nil},
		{`{"check":"app","target":"kt","state":"up","who":"me"}`, "who", 400, nil},
		{`{} {}`, "more than one", 400, nil},
		{``, "empty", 400, nil},
	} {
		headers := test.headers
		if headers == nil {
			headers = []string{auth, typ}
		}
		resp := ask(t, "POST", srv.URL+"/api/v1/push", test.body, headers...)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != test.code || !strings.Contains(string(body), test.want) {
			t.Errorf("%s: %d %s, want %d %s", test.body, resp.StatusCode, body, test.code, test.want)
		}
	}
	if len(f.pushed) != 1 {
		t.Errorf("what was refused came through: %+v", f.pushed)
	}
}
