package probe

import (
	"context"
	"testing"
	"time"

	"gslb/health"
	"gslb/test/bed"
)

func TestControlText(t *testing.T) {
	sites := []Check{{Config: Config{Type: "tcp", Interval: 500 * time.Millisecond}}}
	for text, kind := range map[string]string{
		"1.1.1.1:53": "tcp", "tcp://192.0.2.1:80": "tcp", "https://example.com/a?b": "https", "http://192.0.2.1:8080": "http",
		"icmp://192.0.2.1": "icmp", "dns://192.0.2.1/example.com": "dns",
		"1.1.1.1": "", "ftp://a/b": "", "dns://192.0.2.1": "", "tcp://192.0.2.1": "",
	} {
		c, err := Control(text, sites)
		if (err == nil) != (kind != "") || err == nil && (c.Config.Type != kind || c.Config.Interval != 500*time.Millisecond || !c.Target.IsControl()) {
			t.Errorf("%q: %+v, %v", text, c, err)
		}
	}
}

// TestDoubt: verdicts of down that began while this machine could not see are
// forgotten, older ones and those on control targets are not.
func TestDoubt(t *testing.T) {
	t.Parallel()
	dead := bed.Reserve(t, "tcp")
	control, err := Control(dead, nil)
	if err != nil {
		t.Fatal(err)
	}
	control.Config.Interval, control.Config.Fall = 20*time.Millisecond, 1
	r := NewRunner(nil)
	if err := r.Set([]Check{control, {Target: Target{Name: "kt", Address: dead}, Config: Config{Type: "tcp", Interval: 20 * time.Millisecond, Fall: 3}}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	news, done := make(chan Transition, 100), make(chan error, 1)
	go func() { done <- r.Run(ctx, func(tr Transition) { news <- tr }) }()
	await := func(name string, want health.State) {
		t.Helper()
		for end := time.After(time.Minute); ; {
			select {
			case tr := <-news:
				if (tr.Target.Name == name || name == "control" && tr.Target.IsControl()) && tr.State == want {
					return
				}
			case <-end:
				t.Fatalf("%s is not %v", name, want)
			}
		}
	}
	begin := time.Now().Add(-time.Second)
	await("kt", health.Down)
	blind := func() bool { all, down, detail := r.Sight(); return all == 1 && down == 1 && detail != "" }
	for end := time.Now().Add(time.Minute); !blind(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			all, down, detail := r.Sight()
			t.Fatalf("sight: %d, %d down, %q", all, down, detail)
		}
	}
	r.Doubt(time.Now().Add(time.Second)) // began before: stays
	if s := r.ResultsOf("kt")[0].State; s != health.Down {
		t.Errorf("kt is %v", s)
	}
	r.Doubt(begin)
	await("kt", health.Unknown)
	await("kt", health.Down) // it is dead, after all
	if _, down, _ := r.Sight(); down != 1 {
		t.Error("the control target is forgotten")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
