package probe

import (
	"context"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkSchedule is what one probe costs beside the probe itself, among 10,000
// checks that are all always due: the worst load there can be. It fails if the
// goroutines are not bounded.
func BenchmarkSchedule(b *testing.B) {
	var left, most atomic.Int64
	left.Store(int64(b.N))
	done := make(chan struct{})
	r := NewRunner(nil)
	r.build = func(Config, Target, *means) (Prober, error) {
		return proberFunc(func(context.Context) error {
			runtime.Gosched() // so that others start meanwhile
			if n := int64(runtime.NumGoroutine()); n > most.Load() {
				most.Store(n)
			}
			if left.Add(-1) == 0 {
				close(done)
			}
			return nil
		}), nil
	}
	checks := manyChecks(10_000)
	for i := range checks {
		checks[i].Config.Interval, checks[i].Config.Timeout = time.Millisecond, time.Millisecond
	}
	r.AtOnce = DefaultAtOnce
	if err := r.Set(checks); err != nil {
		b.Fatal(err)
	}
	before := int64(runtime.NumGoroutine())
	b.ReportAllocs()
	b.ResetTimer()
	stop := start(r, func(Transition) {})
	<-done
	b.StopTimer()
	stop()
	extra := most.Load() - before
	b.ReportMetric(float64(extra), "goroutines")
	// One that has booked its probe makes room before it has quite ended, hence twice.
	if extra > 2*DefaultAtOnce {
		b.Errorf("%d goroutines more than before, want %d at most", extra, 2*DefaultAtOnce)
	}
}

// BenchmarkSet is a reload of 10,000 checks of which none changed.
func BenchmarkSet(b *testing.B) {
	r, _ := newWire().runner()
	checks := manyChecks(10_000)
	if err := r.Set(checks); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Set(checks); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkProbe(b *testing.B) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096))
			_, _ = c.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
			_ = c.Close()
		}
	}()
	for _, kind := range []string{"tcp", "http"} {
		b.Run(kind, func(b *testing.B) {
			p, err := New(Config{Type: kind}, Target{Address: l.Addr().String()})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Probe(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
