package zones

import (
	"slices"
	"strings"
	"testing"
)

// A target without its last dot is told with its line; one that is meant so is not.
func TestMissingDot(t *testing.T) {
	z, err := Read(Config{Name: "abc.com.", File: "f"}, strings.NewReader(`$TTL 60
@ SOA ns h 1 2 3 4 5
@ NS ns
ns A 192.0.2.1
a CNAME www.abc.com
b MX 10 Mail.abc.com
b MX 20 mail
c NS ns.abc.com
d CNAME there.abc.com
there.abc.com A 192.0.2.1
e CNAME www.xabc.com
f SRV 1 2 3 www.abc.com.
mail A 192.0.2.1
`))
	if err != nil {
		t.Fatal(err)
	}
	tell := func(line, what, target string) string {
		return "zone abc.com.: f:" + line + ": " + what + ": its target " + target + ".abc.com. ends in the zone's name twice and is not there: is a dot missing at its end?"
	}
	want := []string{tell("5", "a.abc.com. CNAME", "www.abc.com"), tell("6", "b.abc.com. MX", "mail.abc.com"), tell("8", "c.abc.com. NS", "ns.abc.com")}
	got := slices.DeleteFunc(slices.Clone(z.Warnings), func(w string) bool { return !strings.Contains(w, "twice") })
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What is wrong with records together is told with the line of the one that is too much.
func TestFaultsOfSetsHaveLines(t *testing.T) {
	const head = "$TTL 60\n@ SOA ns h 1 2 3 4 5\n@ NS ns\nns A 192.0.2.1\n"
	for text, want := range map[string]string{
		"x CNAME y\nx A 192.0.2.1\n":                 "f:6: x.abc.com. has a CNAME and also A",
		"@ SOA ns h 9 2 3 4 5\n":                     "f:5: 2 different SOA records",
		"x CNAME y\n\nx CNAME z\n":                   "f:7: x.abc.com. has 2 CNAME records",
		"x DNAME y\ny A 192.0.2.1\nx DNAME z\n":      "f:7: x.abc.com. has 2 DNAME records",
		"y SOA ns h 9 2 3 4 5\n":                     "f:5: y.abc.com. has an SOA record below",
		"*.w NS ns\n":                                "f:5: *.w.abc.com. has NS records",
		"x DNAME y\na.x A 192.0.2.1\n":               "f:6: a.x.abc.com. stands below the DNAME",
		"x ALIAS y.example.\n; \nx A 192.0.2.1\n":    "f:7: x.abc.com. has A records and an ALIAS",
		"x ALIAS y.example.\nx ALIAS z.example.\n\n": "f:6: x.abc.com. has 2 ALIAS records",
	} {
		_, err := Read(Config{Name: "abc.com.", File: "f"}, strings.NewReader(head+text))
		if err == nil || !strings.HasPrefix(err.Error(), "zone abc.com.: "+want) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}
