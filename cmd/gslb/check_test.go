package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const checkedZone = "$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 60\n NS ns1\nns1 A 192.0.2.53\na.www A 192.0.2.10\n" +
	"txt TXT x\nalias CNAME txt\ngood CNAME a.www\nsub NS ns.elsewhere.example.\nout CNAME www.elsewhere.example.\nshop CNAME www\n*.wild AAAA 2001:db8::1\n"

const checkedConfig = `
[node]
name = "n"
[dns]
listen = ["127.0.0.1:0"]
[geo]
databases = ["city.mmdb", "isp.mmdb"]
[[zone]]
name = "abc.com."
file = "abc.com.zone"
[check.web]
CHECK
[[site]]
name = "kt"
cname = "CNAME"
addresses = ["192.0.2.10", "192.0.2.11"]
check = "web"
[[steer]]
name = "www.abc.com."
answer = "cname"
  [[steer.rule]]
  MATCH
  to = ["kt"]
  [[steer.rule]]
  to = ["nearest:all"]
`

// runCheck runs gslb check on the configuration with words replaced.
func runCheck(t *testing.T, words ...string) (out, warnings string, err error) {
	t.Helper()
	return runGSLB("check", checkedFile(t, words...))
}

// runGSLB runs a command in this process.
func runGSLB(args ...string) (out, faults string, err error) {
	var stdout, stderr bytes.Buffer
	c := root()
	c.Writer, c.ErrWriter = &stdout, &stderr
	err = c.Run(context.Background(), append([]string{"gslb"}, args...))
	return stdout.String(), stderr.String(), err
}

// checkedFile writes the configuration with words replaced, and all it refers to.
func checkedFile(t *testing.T, words ...string) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{"demo/geo/demo-city.mmdb": "city.mmdb", "demo/geo/demo-isp.mmdb": "isp.mmdb"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, to), string(data))
	}
	write(t, filepath.Join(dir, "abc.com.zone"), checkedZone)
	write(t, filepath.Join(dir, "ca.pem"), "no certificate\n")
	words = append(words, "CNAME", "a.www.abc.com.", "MATCH", `isp = ["KT"]`, "CHECK", "type = \"tcp\"\nport = 80")
	path := filepath.Join(dir, "gslb.toml")
	write(t, path, strings.NewReplacer(words...).Replace(checkedConfig))
	return path
}

func TestCheckTargets(t *testing.T) {
	for name, want := range map[string]string{
		"a.www.abc.com.":      "",
		"good.abc.com.":       "",
		"out.abc.com.":        "", // for others to say
		"www.sub.abc.com.":    "", // delegated
		"x.wild.abc.com.":     "",
		"www.elsewhere.org.":  "",
		"missing.abc.com.":    "gslb.toml:14: site[0]: site kt: cname missing.abc.com.: the zone abc.com., file ",
		"txt.abc.com.":        "has neither A nor AAAA",
		"alias.abc.com.":      "has neither A nor AAAA",
		"a.b.missing.abc.com": "site kt",
	} {
		_, _, err := runCheck(t, "CNAME", name)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("cname %s: %v, want %q", name, err, want)
		}
	}
}

func TestCheckProbes(t *testing.T) {
	_, _, err := runCheck(t, "CHECK", "type = \"https\"\nca = \"ca.pem\"", "CNAME", "missing.abc.com.")
	if err == nil || strings.Count(err.Error(), "site kt, check web: ") != 1 || !strings.Contains(err.Error(), "ca.pem") {
		t.Errorf("a CA file without a certificate: %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "missing.abc.com.") || !strings.Contains(err.Error(), "2 faults") {
		t.Errorf("not all faults at once: %v", err)
	}
}

func TestCheckPlaceNames(t *testing.T) {
	for match, want := range map[string]string{
		`isp = ["kt", "Korea Telecom"]`:          "",
		`asn = [4766]`:                           "",
		`city = ["seoul"]`:                       "",
		`subdivision = ["KR-11", "26"]`:          "",
		`country = ["KR", "CN"]`:                 "",
		`isp = ["KT", "LG Upluss"]`:              `steer[0].rule[0].isp[1]: "LG Upluss": occurs in no record of the databases and in no override, so it matches nobody; did you mean "LG Uplus"?`,
		`isp = ["DACOM"]`:                        `did you mean "LG DACOM Corporation"?`,
		`asn = [4767]`:                           `"4767": occurs in no record`,
		`city = ["Soeul"]`:                       `did you mean "Seoul"?`,
		`subdivision = ["KR-99"]`:                `steer[0].rule[0].subdivision[0]`,
		`country = ["IS"]`:                       `steer[0].rule[0].country[0]: "IS": occurs`,
		"isp = [\"KT\"]\n  country = [\"FJ\"]\n": `"FJ"`,
	} {
		out, warnings, err := runCheck(t, "MATCH", match)
		if err != nil {
			t.Errorf("%s: %v", match, err)
		}
		if want == "" && (warnings != "" || !strings.Contains(out, "0 warnings")) || !strings.Contains(warnings, want) {
			t.Errorf("%s: warnings %q, want %q\n%s", match, warnings, want, out)
		}
	}
}
