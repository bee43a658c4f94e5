package main

import (
	"context"
	"io"
	"strings"
	"testing"
)

func TestOptionErrors(t *testing.T) {
	for _, test := range []struct{ args, want string }{
		{"http", "the first argument must be"},
		{"dns x", `unexpected argument "x"`},
		{"dns -servers gslb,bnd", `-servers "bnd": must be of gslb, gdnsd`},
		{"dns -workloads all", `-workloads "all"`},
		{"dns -seconds 0", "-seconds 0: must be"},
		{"dns -seconds NaN", "-seconds NaN: must be"},
		{"dns -repeat 0", "-repeat 0: must be"},
		{"dns -rounds 0", "-rounds 0: must be"},
		{"dns -zones -1", "-zones -1: must be"},
		{"dns -names 1", "-names 1: must be"},
		{"dns -networks 0", "-networks 0: must be"},
		{"dns -server-cpu -2", "-server-cpu -2"},
	} {
		_, err := parseOptions(strings.Fields(test.args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, must contain %q", test.args, err, test.want)
		}
		if code := run(context.Background(), strings.Fields(test.args), io.Discard); code != 2 {
			t.Errorf("%q: exit code %d, must be 2", test.args, code)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range []string{"-h", "dns -h", "scale -h"} {
		var out strings.Builder
		if code := run(context.Background(), strings.Fields(args), &out); code != 0 || !strings.Contains(out.String(), "-servers") {
			t.Errorf("%q: exit code %d and %q", args, code, out.String())
		}
	}
}

// Without arguments the servers are compared; help names those that are missing.
func TestWithoutArguments(t *testing.T) {
	var out strings.Builder
	if o, err := parseOptions(nil, &out); err != nil || o.Command != "dns" || o.commandLine() != "go run ./tools/bench dns" {
		t.Errorf("%+v, %v", o, err)
	}
	t.Setenv("PATH", t.TempDir())
	new(options).help(&out)
	for _, want := range []string{"go run ./tools/bench zones", "gslb        is built", "coredns     is missing; a release"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, out.String())
		}
	}
}

func TestOptions(t *testing.T) {
	o, err := parseOptions(strings.Fields("dns -servers nsd,gslb,nsd -seconds 0.5"), io.Discard)
	if err != nil || strings.Join(o.Servers, " ") != "nsd gslb" || o.duration().Milliseconds() != 500 || len(o.Workloads) != len(workloads) {
		t.Errorf("%+v, %v", o, err)
	}
}

func TestCommandLine(t *testing.T) {
	for args, want := range map[string]string{
		"dns -out /tmp/page.md -city /home/user/City.mmdb -seconds 1": "go run ./tools/bench dns -city City.mmdb -seconds 1",
		"dns --city=/home/user/City.mmdb -out=x.md":                   "go run ./tools/bench dns -city=City.mmdb",
		"dns": "go run ./tools/bench dns",
	} {
		o, err := parseOptions(strings.Fields(args), io.Discard)
		if err != nil || o.commandLine() != want {
			t.Errorf("%q: %q, %v, must be %q", args, o.commandLine(), err, want)
		}
	}
}
