package probe

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"gslb/test/bed"
)

func TestMedianOfTrips(t *testing.T) {
	var tr trips
	for i, ms := range []int{10, 900, 12, 11, 13} {
		tr.add(time.Duration(ms)*time.Millisecond, time.Now())
		if want := []int{10, 900, 12, 12, 12}[i]; tr.median() != time.Duration(want)*time.Millisecond {
			t.Errorf("after %d: %v, want %d ms", i+1, tr.median(), want)
		}
	}
	for range window {
		tr.add(time.Second, time.Now())
	}
	if tr.median() != time.Second {
		t.Errorf("old ones count: %v", tr.median())
	}
}

// Of a probe over TCP the connect counts, of icmp, dns and udp the whole, of others nothing.
func TestTravelled(t *testing.T) {
	const connect, whole = 5 * time.Millisecond, 300 * time.Millisecond
	for _, tc := range []struct {
		kind    string
		connect time.Duration
		want    time.Duration
	}{{"http", connect, connect}, {"dns", connect, connect}, {"dns", 0, whole}, {"icmp", 0, whole}, {"udp", 0, whole}, {"exec", 0, 0}, {"push", 0, 0}, {"http", 0, 0}} {
		u := &unit{config: Config{Type: tc.kind}, interval: time.Second}
		now := time.Now()
		u.travelled(tc.connect, whole, now)
		got, ok := u.trip(now)
		if got != tc.want || ok != (tc.want > 0) {
			t.Errorf("%s, connected in %v: %v, %v, want %v", tc.kind, tc.connect, got, ok, tc.want)
		}
		if _, ok := u.trip(now.Add(freshLeast + time.Second)); ok {
			t.Errorf("%s: a trip of long ago counts", tc.kind)
		}
	}
}

// Of several addresses and checks the least counts, and of what is not reached there is none.
func TestTrips(t *testing.T) {
	t.Parallel()
	const pause = 300 * time.Millisecond
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	bed.Serve(t, tcp, func(c net.Conn) {
		time.Sleep(pause)
		c.Write([]byte("hello\n"))
	})
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			time.Sleep(pause)
			udp.WriteTo(buf[:n], from)
		}
	}()
	nowhere := bed.Reserve(t, "tcp")
	base := Config{Interval: 200 * time.Millisecond, Timeout: 10 * time.Second, Rise: 1, Fall: 1}
	speaks, asks := base, base
	speaks.Type, speaks.Expect = "tcp", "hello"
	asks.Type, asks.Send = "udp", "x"
	of := func(name, address string, c Config) Check {
		return Check{Target: Target{Name: name, Address: address}, Config: c}
	}
	r := NewRunner(slog.New(slog.DiscardHandler))
	if err := r.Set([]Check{of("speaks", tcp.Addr().String(), speaks), of("speaks", nowhere, speaks), of("asks", udp.LocalAddr().String(), asks), of("gone", nowhere, speaks)}); err != nil {
		t.Fatal(err)
	}
	stop := start(r, func(Transition) {})
	defer stop()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		got := r.Trips()
		if len(got) == 2 {
			if got["asks"] < pause || got["speaks"] <= 0 {
				t.Errorf("%v", got)
			}
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%v, want trips to two targets", got)
		}
	}
}
