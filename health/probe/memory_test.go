package probe

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gslb/health"
)

// TestRunnerRecalls: a Runner that takes over from one that ended begins with
// what was down, tells it at once, and believes the first success.
func TestRunnerRecalls(t *testing.T) {
	path := filepath.Join(t.TempDir(), "verdicts.json")
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		w.set("a:80", errRefused)
		w.set("b:80", errRefused)
		c := Config{Interval: time.Second, Rise: 4, Fall: 3}
		checks := []Check{check("kt", "a:80", c), check("lgu", "b:80", c), check("us", "c:80", c)}
		first, tape := w.runner()
		if err := first.Remember(path); err != nil {
			t.Fatal(err)
		}
		if err := first.Set(checks); err != nil {
			t.Fatal(err)
		}
		stop := start(first, tape.on)
		time.Sleep(5 * time.Second)
		stop()
		if got := tape.take(); got != "kt down, lgu down, us up" {
			t.Fatalf("told %q", got)
		}

		w.set("b:80", nil) // recovers while nobody looks
		second, tape := w.runner()
		if err := second.Remember(path); err != nil {
			t.Fatal(err)
		}
		if err := second.Set(append(checks, check("new", "d:80", c))); err != nil {
			t.Fatal(err)
		}
		for i, want := range []health.State{health.Down, health.Down, health.Unknown, health.Unknown} {
			if got := second.Results()[i]; got.State != want {
				t.Errorf("%s is %v before the first probe, want %v", got.Target.Name, got.State, want)
			}
		}
		if got := second.Results()[0]; !strings.Contains(got.Detail, "before the restart: "+errRefused.Error()) || got.Since.IsZero() {
			t.Errorf("%+v", got)
		}
		stop = start(second, tape.on)
		synctest.Wait()
		if got := tape.take(); got != "kt down, lgu down" {
			t.Errorf("told %q at once, want what was down", got)
		}
		time.Sleep(1100 * time.Millisecond) // one probe each
		if got := tape.take(); got != "lgu up, new up, us up" {
			t.Errorf("after the first probes told %q", got)
		}
		time.Sleep(5 * time.Second)
		w.set("a:80", nil) // borne out by now: up needs rise successes
		time.Sleep(2500 * time.Millisecond)
		if got := tape.take(); got != "" {
			t.Errorf("after two successes told %q", got)
		}
		stop()
	})
	// What is down no more is forgotten; what cannot be read is said and overwritten.
	if data, err := os.ReadFile(path); err != nil || !strings.Contains(string(data), `"kt"`) || strings.Contains(string(data), `"lgu"`) {
		t.Errorf("%s %v", data, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := NewRunner(nil)
	if err := r.Remember(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names the file", err)
	}
	if err := r.memory.write(nil); err != nil {
		t.Fatal(err)
	}
	if err := NewRunner(nil).Remember(path); err != nil {
		t.Errorf("written anew: %v", err)
	}
	if left, _ := filepath.Glob(path + ".tmp*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
