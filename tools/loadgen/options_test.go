package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBadCommandLines(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(bad, []byte("a.example. NOTATYPE\nb..example. A\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("# nothing\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	unequal := filepath.Join(t.TempDir(), "unequal")
	if err := os.WriteFile(unequal, []byte("10.0.0.0/24\n10.0.0.0/16\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(t.TempDir(), "odd")
	if err := os.WriteFile(odd, []byte("a.example. A BADCODE\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args string
		want string
	}{
		{"-rate 0", `-rate "0": must be a number above 0, or max`},
		{"-rate fast", `-rate "fast": must be`},
		{"-rate NaN", `-rate "NaN": must be`},
		{"-rate Inf", `-rate "Inf": must be`},
		{"-type B", `-type "B": not a record type`},
		{"-type TYPE65536", `-type "TYPE65536": not a record type`},
		{"-ecs random5", `-ecs "random5": must be none, random4, random6, a prefix`},
		{"-ecs 10.0.0.0/33", `-ecs "10.0.0.0/33": must be`},
		{"-rcode NOPE", `-rcode "NOPE": must be one such as`},
		{"-match [ -check", `-match "[": error parsing regexp`},
		{"-match x", `-match, -answers and -authority: need -check`},
		{"-answers 1", `-match, -answers and -authority: need -check`},
		{"-authority 1", `-match, -answers and -authority: need -check`},
		{"-per-connection 1", `-per-connection 1: must be 0 or more, and needs -tcp`},
		{"-tcp -per-connection -1", `-per-connection -1: must be`},
		{"-ecs @/does/not/exist", `-ecs: open /does/not/exist`},
		{"-ecs @" + bad, `-ecs: ` + bad + `:1: "a.example. NOTATYPE": must be a prefix`},
		{"-ecs @" + unequal, `-ecs: ` + unequal + `:2: 10.0.0.0/16: must be of the same family and length as 10.0.0.0/24`},
		{"-names " + odd, odd + `:1: "BADCODE" is not an rcode`},
		{"-inflight 0", `-inflight 0: must be 1 to 16384`},
		{"-inflight 16385", `-inflight 16385: must be 1 to 16384`},
		{"-sockets 0", `-sockets 0: must be 1 to 1000`},
		{"-duration 0s", `-duration 0s: must be above 0`},
		{"-timeout 1us", `-timeout 1µs: must be at least 1ms`},
		{"-max-loss 2", `-max-loss 2: must be 0 to 1`},
		{"-edns 65536", `-edns 65536: must be at most 65535`},
		{"www.abc.com", `unexpected argument "www.abc.com"`},
		{"-name a..b", `"a..b.": not a domain name`},
		{"-names /does/not/exist", `open /does/not/exist`},
		{"-names " + bad, bad + `:1: "NOTATYPE" is not a record type`},
		{"-names " + bad, bad + `:2: "b..example.": not a domain name`},
		{"-names " + empty, empty + `: holds no names`},
		{"-rate 0 -type B", "not a record type"}, // all errors at once
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(context.Background(), strings.Fields(test.args), &out, &errs); code != 2 || !strings.Contains(errs.String(), test.want) {
				t.Errorf("code %d, %q; want 2, %q", code, errs.String(), test.want)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"-h"}, &out, &errs); code != 0 || !strings.Contains(errs.String(), "-inflight") {
		t.Errorf("code %d: %s", code, errs.String())
	}
}
