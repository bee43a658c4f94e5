package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What each balancer is told, word by word.
func TestBalancerConfigurations(t *testing.T) {
	for i := range l4Peers {
		p := &l4Peers[i]
		dir := t.TempDir()
		at := l4Place{listen: "127.0.0.1:8000", servers: []string{"127.0.0.1:8001", "127.0.0.1:8002"}}
		if p.udp {
			at.datagrams = "127.0.0.1:8000"
		}
		args, err := p.configure(dir, at)
		if err != nil || len(args) == 0 {
			t.Fatalf("%s: %v, %v", p.name, args, err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%s: %v, %v", p.name, files, err)
		}
		text, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		// Where nginx has its modules built in there is none to load.
		text = regexp.MustCompile(`(?m)^load_module .*\n`).ReplaceAll(text, nil)
		golden(t, "balancer-"+p.name, strings.ReplaceAll(string(text), dir, "/balancer"))
	}
}

// Ratios are those of slices that were taken together.
func TestBalancerRatio(t *testing.T) {
	of := func(cpu ...float64) (s []l4Sample) {
		for _, c := range cpu {
			s = append(s, l4Sample{CPU: c})
		}
		return s
	}
	r, ok := l4Ratio(of(1, 4, 9), of(2, 4, 3, 8), l4CPU)
	if !ok || r.median != 1 || r.least != 0.5 || r.greatest != 3 {
		t.Errorf("%+v, %v", r, ok)
	}
	if _, ok := l4Ratio(of(1), nil, l4CPU); ok {
		t.Error("a ratio to nothing")
	}
}
