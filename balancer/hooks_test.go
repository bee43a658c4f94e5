package balancer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gslb/health"
	"gslb/health/probe"
	"gslb/test/bed"
)

// When hooks are called, by a clock of the test.
func TestHooksAreDue(t *testing.T) {
	bed.OneGoroutine(t)
	cfg := named("abcd", "s")
	cfg.Clone = HookConfig{URL: "http://127.0.0.1:1/"}
	cfg.Repair = HookConfig{URL: "http://127.0.0.1:1/"}
	b := newBench(t, cfg, everySecond)
	for _, name := range "abcds" {
		b.check(string(name), health.Up)
	}
	due := func(after time.Duration) (all []string) {
		t.Helper()
		for end := b.at.Add(after); b.at.Before(end); {
			b.pass(time.Second)
			for _, c := range b.dueHooks(b.at) {
				all = append(all, strings.TrimSpace(c.Hook+" "+c.Server))
				b.hooked(&c, "done", nil)
			}
		}
		return all
	}
	want := func(what string, got []string, want ...string) {
		t.Helper()
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%s: called %q, want %q", what, got, want)
		}
	}
	want("all is well", due(time.Hour))
	b.check("a", health.Down) // the spare comes in for it
	want("one down, for less than the hold", due(25*time.Second))
	want("one down, for longer", due(10*time.Second), "repair a")
	want("not again within 5 minutes", due(4*time.Minute))
	b.check("b", health.Down) // 3 of 4 are left, which is the watermark
	want("two down", due(35*time.Second), "repair b")
	b.check("c", health.Down)
	want("three down, and a again after 5 minutes", due(35*time.Second), "repair a", "clone", "repair c")
	b.check("b", health.Up)
	b.check("c", health.Up)
	want("two are back", due(9*time.Minute), "repair a")
	b.check("a", health.Up)
	want("all are back", due(time.Hour))
	if got := b.hookStatus(); len(got) != 0 {
		t.Errorf("an hour later there is still %+v", got)
	}
}

// Who takes servers out asks for no clone by that, nor for their repair; what fails besides does.
func TestHooksAndDrains(t *testing.T) {
	order := func(on bool) func(*bench) {
		return func(b *bench) {
			if err := b.drainServer("a", on, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	says := func(state health.State, w probe.Wish) func(*bench) {
		return func(b *bench) { b.wish("a", state, w) }
	}
	fails := func(name string) func(*bench) { return func(b *bench) { b.check(name, health.Down) } }
	ready, maint, full := probe.Wish{Share: 1}, probe.Wish{Share: 1, Drain: true}, probe.Wish{Drain: true}
	for _, tt := range []struct {
		name  string
		steps []func(*bench)
		want  string // the calls after each step, and what they say of the capacity
	}{
		{"by order", []func(*bench){order(true)}, ""},
		{"by order, and switched off", []func(*bench){order(true), fails("a")}, " | "},
		{"and taken back, while it is down", []func(*bench){order(true), fails("a"), order(false)}, " |  | clone 0.50 of 2 without 0, repair a"},
		{"by its agent", []func(*bench){says(health.Down, maint)}, ""},
		{"by its agent, and switched off", []func(*bench){says(health.Down, maint), says(health.Down, ready)}, " | "},
		{"by its agent, and the other fails", []func(*bench){says(health.Down, maint), fails("b")}, " | clone 0.00 of 2 without 1, repair b"},
		{"its agent says 0 %", []func(*bench){says(health.Down, full)}, "clone 0.50 of 2 without 0"},
		{"its agent says that it is down", []func(*bench){says(health.Down, ready)}, "clone 0.50 of 2 without 0, repair a"},
		{"both by order", []func(*bench){order(true), func(b *bench) { b.drainServer("b", true, 0) }}, " | "},
	} {
		cfg := named("ab", "")
		cfg.Clone, cfg.Repair = HookConfig{URL: "http://127.0.0.1:1/"}, HookConfig{URL: "http://127.0.0.1:1/"}
		b := newBench(t, cfg, everySecond)
		b.wish("a", health.Up, ready)
		b.check("b", health.Up)
		var got []string
		for _, step := range tt.steps {
			step(b)
			var calls []string
			for range 40 { // seconds; the hold is 30
				b.pass(time.Second)
				for _, c := range b.dueHooks(b.at) {
					text := strings.TrimSpace(c.Hook + " " + c.Server)
					if c.Hook == HookClone {
						text += fmt.Sprintf(" %.2f of %d without %d", c.Capacity, c.Servers, c.Drained)
					}
					calls = append(calls, text)
					b.hooked(&c, "done", nil)
				}
			}
			got = append(got, strings.Join(calls, ", "))
		}
		if text := strings.Join(got, " | "); text != tt.want {
			t.Errorf("%s: called %q, want %q", tt.name, text, tt.want)
		}
	}
}

func TestHooksOnTheWire(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	calls := make(chan HookCall, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var c HookCall
		if err := json.Unmarshal(body, &c); err != nil || r.Method != http.MethodPost || r.Header.Get(SignatureHeader) != Signature("s3cret", body) {
			t.Errorf("%s, %v, signed %q: %s", r.Method, err, r.Header.Get(SignatureHeader), body)
		}
		if tries.Add(1) == 1 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "machine 7 is\ncoming")
		calls <- c
	}))
	t.Cleanup(server.Close)
	out := filepath.Join(t.TempDir(), "asked")
	a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
	cfg := config(a, b)
	cfg.Check, cfg.LowWatermark = "web", 0.8
	cfg.Clone = HookConfig{URL: server.URL, Secret: "s3cret", Hold: 50 * time.Millisecond}
	cfg.Repair = HookConfig{Exec: []string{"/bin/sh", "-c", "cat > " + out + "; echo repairing $GSLB_SERVER"}, Hold: 50 * time.Millisecond}
	r := newRigWith(t, Options{AllowExec: true}, cfg, tcpCheck)
	eventually(t, "both up", func() bool { return r.Status()[0].Available == 2 && r.server(a.address).State == health.Up })
	a.kill()
	var got HookCall
	eventually(t, "the call for a clone", func() bool {
		select {
		case got = <-calls:
			return true
		default:
			return false
		}
	})
	if got.Try != 2 || got.Hook != HookClone || got.Frontend != "www" || got.Site != "kt" || got.Healthy != 1 || got.Servers != 2 || got.Capacity != 0.5 || got.Node != "lb1" || got.ID == "" {
		t.Errorf("called with %+v", got)
	}
	outcome := func(what, server, text string) {
		t.Helper()
		eventually(t, "the event of "+text, func() bool {
			for _, e := range r.Events() {
				if e.What == what && e.Server == server && strings.Contains(e.Why, text) {
					return true
				}
			}
			return false
		})
	}
	outcome(EventHook, "", "200 OK machine 7 is coming")
	outcome(EventHook, a.address, "repairing "+a.address)
	var asked HookCall
	if text, err := os.ReadFile(out); err != nil || json.Unmarshal(text, &asked) != nil || asked.Server != a.address || asked.Hook != HookRepair {
		t.Errorf("the program was told %s, %v", text, err)
	}
	for _, h := range r.Hooks() {
		if h.Calls != 1 || h.Failed || h.Needed.IsZero() {
			t.Errorf("shown as %+v", h)
		}
	}
}

// What a hook that cannot be called is said to be.
func TestHooksThatFail(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		hook HookConfig
		may  bool
		want string
	}{
		{"not allowed", HookConfig{Exec: []string{"/bin/true"}}, false, "allow_exec = true"},
		{"not there", HookConfig{Exec: []string{"/nonexistent/program"}}, true, "no such file"},
		{"exits with 1", HookConfig{Exec: []string{"/bin/false"}}, true, "exit status 1"},
		{"takes too long", HookConfig{Exec: []string{"/bin/sleep", "60"}, Timeout: 100 * time.Millisecond}, true, "timeout"},
		{"nobody listens", HookConfig{URL: "http://127.0.0.1:1/"}, true, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.hook.Retries = -1
			tt.hook.withDefaults()
			outcome, err := tt.hook.call(context.Background(), &HookCall{Hook: HookClone}, tt.may)
			if err == nil || !strings.Contains(outcome, tt.want) || !strings.Contains(outcome, "tried 1 times") {
				t.Errorf("%q, %v, want %q", outcome, err, tt.want)
			}
		})
	}
}

// A limit that is met for a minute is a problem until nobody has met it for a while.
func TestRefusingForLong(t *testing.T) {
	f := &frontend{name: "www", pool: newPool("www", nil, time.Now, seeded())}
	b := &Balancer{fronts: []*frontend{f}}
	now := time.Unix(1e9, 0)
	pass := func(d time.Duration, refused bool) {
		for end := now.Add(d); now.Before(end); now = now.Add(time.Second) {
			if refused {
				f.refusals.rate.Add(1)
			}
			f.lookAtRefusals(now)
		}
	}
	pass(30*time.Second, false)
	pass(40*time.Second, true)
	if got := b.Problems(); len(got) != 0 {
		t.Errorf("a problem after 40 s: %q", got)
	}
	pass(50*time.Second, true)
	if got := b.Problems(); len(got) != 1 || !strings.Contains(got[0], "network_rate") {
		t.Errorf("after 90 s: %q", got)
	}
	pass(time.Minute, false)
	if got := b.Problems(); len(got) != 0 {
		t.Errorf("a minute after the last: %q", got)
	}
}
