package probe

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gslb/health"
)

// TestTenThousand runs 10,000 checks over the wire of loopback, half of them tcp
// and half http, and sees that goroutines and sockets stay bounded and that every
// check is made. It logs what that took.
func TestTenThousand(t *testing.T) {
	if testing.Short() {
		t.Skip("10,000 probes take some seconds")
	}
	var accepted atomic.Int64
	address := listen(t, func(c *net.TCPConn) {
		accepted.Add(1)
		say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")(c)
		_ = c.SetLinger(0) // ten thousand TIME-WAITs would be left to the tests beside
	})
	const count, atOnce = 10_000, 128
	var checks []Check
	for i := range count {
		c := Config{Type: "tcp", Interval: time.Hour, Timeout: time.Minute}
		if i%2 == 0 {
			c.Type, c.Path = "http", fmt.Sprintf("/%d", i)
		} else {
			c.Fall = 1 + i%100
			c.Slow = 50*time.Second + time.Duration(i)*time.Microsecond // each is a check of its own
		}
		checks = append(checks, Check{Target{fmt.Sprintf("t%d", i), address}, c})
	}
	r := NewRunner(nil)
	r.AtOnce = atOnce
	if err := r.Set(checks); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	if len(r.units) != count {
		t.Errorf("%d units, want %d", len(r.units), count)
	}
	r.mu.Unlock()
	goroutines, sockets := runtime.NumGoroutine(), openFiles()
	var left sync.WaitGroup
	left.Add(count)
	began := time.Now()
	var down atomic.Int64
	stop := start(r, func(tr Transition) {
		if tr.State != health.Up {
			down.Add(1)
		}
		left.Done()
	})
	for r.mu.Lock(); !r.running; r.mu.Lock() { // or Run would spread them anew
		r.mu.Unlock()
		runtime.Gosched()
	}
	for _, u := range r.queue {
		u.due = time.Time{} // all at once: the worst there is
	}
	r.mu.Unlock()
	poke(r.wake)
	ended := make(chan struct{})
	go func() { left.Wait(); close(ended) }()
	most, files := 0, 0
	for waiting := true; waiting; {
		most, files = max(most, runtime.NumGoroutine()-goroutines), max(files, openFiles()-sockets)
		select {
		case <-ended:
			waiting = false
		case <-time.After(5 * time.Millisecond):
		}
	}
	took := time.Since(began)
	stop()
	t.Logf("%d probes in %v: %d goroutines more and %d descriptors more at most, those of the test's own server counted", count, took.Round(time.Millisecond), most, files)
	if down.Load() > 0 {
		t.Errorf("%d of the checks are not up", down.Load())
	}
	// Each probe is a goroutine and a socket; the server has three and one for each,
	// and a few that have ended are not gone yet.
	if most > 12*atOnce {
		t.Errorf("%d goroutines more than before, with %d probes at once", most, atOnce)
	}
	if files > 6*atOnce {
		t.Errorf("%d descriptors more than before, with %d probes at once", files, atOnce)
	}
}

// openFiles is how many descriptors this process has, 0 where that is not told.
func openFiles() int {
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(list)
}

// TestRunnerDeadTargets: more dead targets than there are places hold up those
// that answer by nothing once they are known.
func TestRunnerDeadTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, tape := w.runner()
		r.AtOnce = 8
		var checks []Check
		for i := range 40 {
			address := fmt.Sprintf("dead%d:80", i)
			w.delay[address] = time.Second // 40 of 1 s each 2 s would need 20 places
			w.set(address, errRefused)
			checks = append(checks, check("dead", address, Config{Interval: 2 * time.Second, Timeout: time.Second}))
		}
		for i := range 20 {
			address := fmt.Sprintf("live%d:80", i)
			w.delay[address] = 10 * time.Millisecond
			checks = append(checks, check("live", address, Config{Interval: 2 * time.Second, Timeout: time.Second}))
		}
		if err := r.Set(checks); err != nil {
			t.Fatal(err)
		}
		stop := start(r, tape.on)
		time.Sleep(30 * time.Second)
		stop()
		if w.most > 8 {
			t.Errorf("%d probes at once, want 8 at most", w.most)
		}
		for i := range 20 {
			p := w.probes(fmt.Sprintf("live%d:80", i))
			for j := 1; j < len(p); j++ {
				if d := p[j].Sub(p[j-1]); p[j-1].Sub(p[0]) > 10*time.Second && d > 2200*time.Millisecond {
					t.Errorf("live%d waited %v for its probe", i, d)
				}
			}
		}
		for i := range 40 {
			if n := len(w.probes(fmt.Sprintf("dead%d:80", i))); n < 2 {
				t.Errorf("dead%d was probed %d times in 30 s", i, n)
			}
		}
		if got := len(r.queue); got != 60 {
			t.Errorf("%d in the queue after the end, want all 60", got)
		}
	})
}

// TestRunnerComposite: a check of checks follows the verdicts of its parts, which
// are probed once even if others have them too.
func TestRunnerComposite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire()
		r, tape := w.runner()
		checks := Resolve(map[string]Config{
			"web":  {Type: "http", Interval: time.Second, Rise: 1, Fall: 2},
			"db":   {Type: "tcp", Port: 5432, Interval: time.Second, Rise: 1, Fall: 2},
			"both": {Type: "all", Of: []string{"web", "db"}},
			"none": {Type: "not", Of: []string{"both"}},
		}, func(check, key, msg string) { t.Errorf("%s %s %s", check, key, msg) })
		build := r.build
		r.build = func(c Config, target Target, m *means) (Prober, error) {
			if c.Type == "tcp" {
				target.Address = "db"
			}
			return build(c, target, m)
		}
		err := r.Set([]Check{
			{Target{"web", "192.0.2.1:80"}, checks["web"]}, {Target{"both", "192.0.2.1:80"}, checks["both"]}, {Target{"none", "192.0.2.1:80"}, checks["none"]},
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(r.queue); n != 2 {
			t.Errorf("%d probes, want those of web and db", n)
		}
		stop := start(r, tape.on)
		defer stop()
		time.Sleep(1500 * time.Millisecond)
		if got := tape.take(); got != "both up, none down, web up" {
			t.Errorf("told %q", got)
		}
		w.set("db", errRefused)
		time.Sleep(3 * time.Second)
		if got := tape.take(); got != "both down, none up" {
			t.Errorf("db down: told %q", got)
		}
		if got, want := r.ResultsOf("both")[0].Detail, "all: 1 of 2 up; db is down ("+errRefused.Error()+")"; got != want {
			t.Errorf("detail %q, want %q", got, want)
		}
		if err := r.Set([]Check{{Target{"web", "192.0.2.1:80"}, checks["web"]}}); err != nil {
			t.Fatal(err)
		}
		if len(r.units) != 1 || len(r.queue) > 1 {
			t.Errorf("%d units and a queue of %d are left, want web's", len(r.units), len(r.queue))
		}
	})
}

// TestRunnerPush: what is reported counts at once, until it has run out.
func TestRunnerPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct{ expiry, want string }{{"unknown", "kt unknown"}, {"down", "kt down"}} {
			tape := &tape{}
			r := NewRunner(nil)
			r.Board = NewBoard()
			checks := Resolve(map[string]Config{"app": {Type: "push", TTL: 10 * time.Second, OnExpiry: test.expiry}}, nil)
			if err := r.Set([]Check{{Target{"kt", "192.0.2.1"}, checks["app"]}}); err != nil {
				t.Fatal(err)
			}
			stop := start(r, tape.on)
			time.Sleep(5 * time.Second)
			if got := tape.take(); got != "" {
				t.Errorf("nothing reported: told %q", got)
			}
			for _, s := range []health.State{health.Degraded, health.Down, health.Up} {
				r.Board.Report(Pushed{Check: "app", Target: "kt", State: s, Detail: "queue 12"})
				synctest.Wait()
				if got := tape.take(); got != "kt "+s.String() {
					t.Errorf("reported %v: told %q at once", s, got)
				}
			}
			if got := r.Results()[0].Detail; got != "reported up: queue 12" {
				t.Errorf("detail %q", got)
			}
			time.Sleep(9 * time.Second)
			if got := tape.take(); got != "" {
				t.Errorf("before it has run out: told %q", got)
			}
			time.Sleep(4 * time.Second)
			if got := tape.take(); got != test.want {
				t.Errorf("run out: told %q, want %q", got, test.want)
			}
			stop()
		}
	})
}

// TestJudgeParts is the table at judgeParts.
func TestJudgeParts(t *testing.T) {
	const up, slow, down, none = health.Up, health.Degraded, health.Down, health.Unknown
	of := []string{"a", "b", "c"}
	heavy := map[string]float64{"a": 3}
	for _, test := range []struct {
		c      Config
		states []health.State
		want   health.State
	}{
		{Config{Type: "all"}, []health.State{up, up, up}, up},
		{Config{Type: "all"}, []health.State{up, slow, up}, slow},
		{Config{Type: "all"}, []health.State{up, none, slow}, none},
		{Config{Type: "all"}, []health.State{none, down, up}, down},
		{Config{Type: "any"}, []health.State{down, none, up}, up},
		{Config{Type: "any"}, []health.State{down, slow, none}, slow},
		{Config{Type: "any"}, []health.State{down, none, down}, none},
		{Config{Type: "any"}, []health.State{down, down, down}, down},
		{Config{Type: "at-least", AtLeast: 2}, []health.State{up, down, up}, up},
		{Config{Type: "at-least", AtLeast: 2}, []health.State{up, slow, down}, slow},
		{Config{Type: "at-least", AtLeast: 2}, []health.State{up, down, none}, none},
		{Config{Type: "at-least", AtLeast: 2}, []health.State{up, down, down}, down},
		{Config{Type: "weighted", AtLeast: 4, Weights: heavy}, []health.State{up, down, up}, up},
		{Config{Type: "weighted", AtLeast: 4, Weights: heavy}, []health.State{down, up, up}, down},
		{Config{Type: "weighted", AtLeast: 4, Weights: heavy}, []health.State{none, up, up}, none},
		{Config{Type: "not"}, []health.State{up}, down},
		{Config{Type: "not"}, []health.State{slow}, down},
		{Config{Type: "not"}, []health.State{down}, up},
		{Config{Type: "not"}, []health.State{none}, none},
	} {
		test.c.Of = of[:len(test.states)]
		if got := test.c.judgeParts(test.states); got != test.want {
			t.Errorf("%s %v of %v: %v, want %v", test.c.Type, test.c.AtLeast, test.states, got, test.want)
		}
	}
}
