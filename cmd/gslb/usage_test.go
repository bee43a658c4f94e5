package main

import (
	"errors"
	"strings"
	"testing"
)

func TestUsage(t *testing.T) {
	for args, want := range map[string]string{
		"serv":                        `gslb: there is no command "serv"; did you mean "serve"?`,
		"-foo":                        "gslb: there is no flag -foo",
		"status -wach 1s":             "gslb status: there is no flag -wach; did you mean -watch?",
		"check -confg x":              "did you mean -config?",
		"status -watch -1s":           "-watch -1s: want a time above 0",
		"status -watch 0s":            "want a time above 0",
		"drain":                       "want one SITE",
		"drain kt":                    "--why",
		"force kt down":               "--why",
		"drain kt --why":              "gslb drain: flag needs an argument",
		"drain kt --why x --for -1m":  "gslb drain: --for -1m0s",
		"explain www.abc.com":         `"client"`,
		"explain x A AAAA --client 1": "want one NAME",
		"explain x A --type A --client 192.0.2.1": "want one NAME",
		"version x": "is not expected",
	} {
		out, faults, err := runGSLB(strings.Fields(args)...)
		var usage usageError
		switch {
		case !errors.As(err, &usage) || !strings.Contains(err.Error(), want):
			t.Errorf("gslb %s: %v, want a usage error with %q", args, err, want)
		case strings.Contains(err.Error(), "\n"):
			t.Errorf("gslb %s: more than one line: %v", args, err)
		case out+faults != "":
			t.Errorf("gslb %s: printed beside the error: %q %q", args, out, faults)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, sub := range root().Commands {
		out, _, err := runGSLB(sub.Name, "-help")
		if err != nil || strings.Contains(out, "default: 0s") {
			t.Errorf("gslb %s -help: %v\n%s", sub.Name, err, out)
		}
	}
	if out, _, err := runGSLB("check", "-help"); err != nil || !strings.Contains(out, "gslb check [options] [FILE]") {
		t.Errorf("gslb check -help: %v\n%s", err, out)
	}
	if out, _, err := runGSLB("version"); err != nil || !strings.HasPrefix(out, "gslb version ") {
		t.Errorf("gslb version: %v %q", err, out)
	}
}

// TestExplainOffline: what is said of names that are not steered, and of types.
func TestExplainOffline(t *testing.T) {
	path := checkedFile(t)
	for args, want := range map[string]string{
		"www.abc.com":           "CNAME  a.www.abc.com.",
		"www.abc.com aaaa":      "www.abc.com. AAAA for 203.0.113.7",
		"missing.abc.com":       "(the name does not exist)",
		"txt.abc.com":           "(no records of that type)",
		"txt.abc.com TXT":       "\"x\"",
		"shop.abc.com":          "It is an alias of www.abc.com., which is steered",
		"shop.abc.com CNAME":    "The same for every client",
		"x.sub.abc.com":         "(delegated to other servers, at sub.abc.com.)",
		"www.elsewhere.example": "www.elsewhere.example.: in none of the zones served here: DNS answers REFUSED",
	} {
		out, _, err := runGSLB(append(append([]string{"explain"}, strings.Fields(args)...), "--client", "203.0.113.7", "--config", path)...)
		if err != nil {
			out += err.Error()
		}
		if !strings.Contains(out, want) {
			t.Errorf("gslb explain %s: want %q in\n%s", args, want, out)
		}
	}
}
