package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestProblems: what a person should look at is in the status, in its JSON and in
// the metrics, and goes when it is over.
func TestProblems(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.startPlainSites("kt", "lgu", "cn")
	n := tp.startDNSNode()
	n.waitUp("kt", "lgu", "cn")
	n.waitStates(patience, map[string]string{"us": "down"})
	n.problem("site us is down")

	text, err := os.ReadFile(n.config)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(text, []byte("[dns]\n"), []byte("[dns]\ntcp_max = 500\n"), 1)
	if bytes.Equal(text, changed) {
		t.Fatalf("no [dns] in\n%s", text)
	}
	replace(t, n.config, changed)
	for range 2 { // it is still true after another reload
		n.reload()
		n.problem("[dns] has changed: takes effect after a restart")
	}

	// A reload that is still under way begins to count anew.
	const choices = "\ngslb_dns_choices_total{"
	var body string
	for end := time.Now().Add(patience); !strings.Contains(body, choices) && time.Now().Before(end); {
		n.www(clientKT) // so that there is something to count
		if body, err = get("http://" + n.api + "/metrics"); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"\ngslb_problems 2\n", "\ngslb_zone_serial{zone=\"abc.com.\"} ", choices} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in the metrics", want)
		}
	}
	var st status
	if err := json.Unmarshal([]byte(must(t, binary(t), "status", "-json", "--api", n.api)), &st); err != nil || len(st.Problems) != 2 || len(st.Sites) != 4 {
		t.Errorf("status -json: %v, %+v", err, st)
	}

	replace(t, n.config, text)
	n.reload()
	n.waitStatus(patience, func(s status) error {
		if len(s.Problems) != 1 {
			return fmt.Errorf("problems %q, want that of the site only", s.Problems)
		}
		return nil
	})
}

// problem waits until the node tells of it.
func (n *node) problem(part string) {
	n.t.Helper()
	n.waitStatus(patience, func(s status) error {
		for _, p := range s.Problems {
			if strings.Contains(p, part) {
				return nil
			}
		}
		return fmt.Errorf("problems %q, want one with %q", s.Problems, part)
	})
}
