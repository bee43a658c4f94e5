package main

import (
	"bytes"
	"encoding/json"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"gslb/test/bed"
)

// Each mode gets through, straight from the clients to the first of two servers.
func TestModes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	for _, mode := range []string{modeShort, modeKept, modeDown, modeUp, modeUDP} {
		asks := mode != modeDown && mode != modeUp
		var r report
		// On a machine that stands still for all of the time nothing comes through: again, for longer.
		for duration := 50 * time.Millisecond; duration < time.Minute && (r.Octets == 0 || asks && r.Done == 0); duration *= 4 {
			one, two := bed.FreeAddress(t), bed.FreeAddress(t)
			var out, errs bytes.Buffer
			args := []string{"-mode", mode, "-serve", one + "," + two, "-target", one, "-conns", "4", "-duration", duration.String(), "-warm", "10ms"}
			if code := run(args, strings.NewReader(""), &out, &errs); code != 0 {
				t.Fatalf("%s: exit code %d: %s", mode, code, errs.String())
			}
			r = report{}
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatalf("%s: %v: %s", mode, err, out.String())
			}
		}
		if r.Octets == 0 || asks != (r.Done > 0) || r.Servers[0] == 0 || r.Servers[1] != 0 || mode != modeUDP && r.Failed > 0 {
			t.Errorf("%s: %+v", mode, r)
		}
		if (mode == modeShort || mode == modeKept) && (r.Latency.P50 <= 0 || r.Latency.Max < r.Latency.P99) {
			t.Errorf("%s: %+v", mode, r)
		}
	}
}

// In an open loop as many requests begin as the rate says.
func TestRate(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	at := bed.FreeAddress(t)
	var out, errs bytes.Buffer
	if code := run([]string{"-mode", modeKept, "-serve", at, "-target", at, "-conns", "4", "-rate", "200", "-duration", "500ms"}, strings.NewReader(""), &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.Done < 1 || r.Done > 200*uint64(1+r.Seconds) {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestIdle(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux only")
	}
	at := bed.FreeAddress(t)
	reader, writer := io.Pipe()
	lines, out := io.Pipe()
	var errs bytes.Buffer
	code := make(chan int)
	go func() {
		code <- run([]string{"-mode", modeIdle, "-serve", at, "-target", at, "-conns", "50"}, reader, out, &errs)
	}()
	var line [6]byte
	if _, err := io.ReadFull(lines, line[:]); err != nil || string(line[:]) != "ready\n" {
		t.Errorf("%q, %v", line, err)
	}
	writer.Close()
	if got := <-code; got != 0 {
		t.Errorf("exit code %d: %s", got, errs.String())
	}
}

func TestBadOptions(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"-mode x -target 127.0.0.1:1", `-mode "x": must be one of`},
		{"", "-target or -serve"},
		{"-target localhost:1", "-target"},
		{"-serve :1", "-serve"},
		{"-target 127.0.0.1:1 -conns 0", "-conns 0"},
		{"-target 127.0.0.1:1 -duration 0s", "-duration"},
		{"-target 127.0.0.1:1 -rate 5", "-rate is for"},
	} {
		var errs bytes.Buffer
		if code := run(strings.Fields(test.args), strings.NewReader(""), io.Discard, &errs); code != 2 || !strings.Contains(errs.String(), test.want) {
			t.Errorf("%q: exit code %d, %s", test.args, code, errs.String())
		}
	}
}
