package zones

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// collector is a sink that keeps records as lines: owner, TTL, type and data in hexadecimal.
type collector struct {
	records []string
	lines   []int
	files   []string
	refuse  func(record) error
}

func (c *collector) add(rec record) error {
	if c.refuse != nil {
		if err := c.refuse(rec); err != nil {
			return err
		}
	}
	c.records = append(c.records, fmt.Sprintf("%x %d %s %x", rec.owner, rec.ttl, dns.Type(rec.rrtype), rec.data))
	c.lines = append(c.lines, rec.line)
	return nil
}

func (c *collector) opened(path string, _ fs.FileInfo) { c.files = append(c.files, path) }

// ours reads a text as the file z of the zone abc.com.
func ours(text string) (records, warnings, faults []string) {
	origin, _ := dnsname.Parse("abc.com.")
	var c collector
	warnings, errs := new(master).read("abc.com.", "z", origin, strings.NewReader(text), &c)
	for _, err := range errs {
		faults = append(faults, err.Error())
	}
	return c.records, warnings, faults
}

// theirs reads it with the library's reader, the oracle.
func theirs(text string) (records []string, err error) {
	zp := dns.NewZoneParser(strings.NewReader(text), "abc.com.", "")
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		owner, err := dnsname.Parse(rr.Header().Name)
		if err != nil {
			return records, err
		}
		if rr.Header().Class != dns.ClassINET {
			return records, fmt.Errorf("class")
		}
		data, err := rdata(rr)
		if err != nil {
			return records, err
		}
		records = append(records, fmt.Sprintf("%x %d %s %x", owner, rr.Header().Ttl, dns.Type(rr.Header().Rrtype), data))
	}
	return records, zp.Err()
}

// differs lists what is meant to be read in another way than by the library.
var differs = []struct {
	why  string
	text *regexp.Regexp
}{
	{"a carriage return is white space; the library joins what it parts", regexp.MustCompile(`\r`)},
	{"a parenthesis ends a field; the library reads a(b as ab", regexp.MustCompile(`[^\s()][()]|[()][^\s()]`)},
	{"a line break between parentheses is white space; the library joins what it parts", regexp.MustCompile(`(?s)\(.*\S\n+\S`)},
	{"records that $GENERATE makes take the file's TTL, in the library 3600; and escapes in its template stay", regexp.MustCompile(`(?i)generate`)},
	{"an IPSECKEY record of the library reads on into the next line", regexp.MustCompile(`(?i)ipseckey|type45\b`)},
	{"an escaped line break ends the line", regexp.MustCompile(`\\\n`)},
	{"a byte order mark is left out", regexp.MustCompile("^\xef\xbb\xbf")},
	{"the library takes a NSEC3 hash as 20 octets long and salts by half their digits", regexp.MustCompile(`(?i)nsec3|type5[01]\b`)},
	{"a quoted string of NAPTR ends at its quote; the library takes the octet behind it for a blank", regexp.MustCompile(`(?i)(naptr|type35)\s+\S+\s+\S+\s+("[^"]*"\s+){0,2}"[^"]*"\S`)},
	{"times of signatures are counted modulo 2^32 (RFC 4034, section 3.2), in the library by half of that from the year 2106 on", regexp.MustCompile(`(?i)(rrsig|sig|type46|type24)\b.*\b(2[1-9]|[3-9]\d)\d{12}\b`)},
	{"a text without quotes in HINFO-like types is the library's own", regexp.MustCompile(`(?i)x25|isdn|hinfo`)},
}

// sameAsLibrary compares both readings of a text that both accept.
func sameAsLibrary(t *testing.T, text string) {
	t.Helper()
	got, warnings, faults := ours(text)
	if len(faults) > 0 || len(warnings) > 0 {
		return // a warning is of the TTL, which the library takes as 0
	}
	want, err := theirs(text)
	if err != nil {
		return
	}
	for _, d := range differs {
		if d.text.MatchString(text) {
			return
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q\nis read as\n%s\nthe library reads\n%s", text, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// seeds are master files that the fuzz targets begin with.
func seeds(t testing.TB) []string {
	types, err := os.ReadFile("testdata/types.zone")
	if err != nil {
		t.Fatal(err)
	}
	all := []string{exampleZone, string(types)}
	for line := range strings.Lines(string(types)) {
		all = append(all, "$TTL 60\n"+line)
	}
	for _, c := range masterCases {
		all = append(all, "$TTL 60\n"+c.text)
	}
	for _, c := range masterFaults {
		all = append(all, "$TTL 60\n"+c.text)
	}
	return append(all, "$ORIGIN x\n@ 60 IN A 192.0.2.1\n\tIN 1h30m AAAA ::1 ; c\n  TXT ( \"a;\" ; (\n \"b\\\"\" ) c\\032d\n", "a 1 RRSIG A RSASHA256 3 300 20300101000000 1577836800 1 @ ZW9m Cg==\n")
}

func TestSameAsLibrary(t *testing.T) {
	for _, text := range seeds(t) {
		sameAsLibrary(t, text)
	}
}

// All types of testdata/types.zone are read as the library reads them, one at a time.
func TestTypesAsLibrary(t *testing.T) {
	types, err := os.ReadFile("testdata/types.zone")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(types)) {
		if line[0] == ';' || line[0] == '$' {
			continue
		}
		text := "$TTL 300\nowner" + line + "; the end\n"
		got, _, faults := ours(text)
		want, err := theirs(text)
		if err != nil || len(want) != 1 || len(faults) > 0 || len(got) != 1 || got[0] != want[0] {
			t.Errorf("%s: %q, %v\nthe library reads %q, %v", line, got, faults, want, err)
		}
		n++
	}
	if n < 65 {
		t.Errorf("only %d types", n)
	}
}

// FuzzMaster compares what both read, and what a buffer that ends in another place makes of it.
func FuzzMaster(f *testing.F) {
	for _, text := range seeds(f) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(strings.ToUpper(text), "INCLUDE") || strings.Contains(strings.ToUpper(text), "GENERATE") {
			return // files of the machine, and as many records as asked for
		}
		sameAsLibrary(t, text)
		var c collector
		var m master
		m.files = []*masterFile{{master: &m, text: shortText(16)}}
		_, errs := m.read("abc.com.", "z", []byte("\x03abc\x03com\x00"), strings.NewReader(text), &c)
		got, _, faults := ours(text)
		if strings.Join(got, "\n") != strings.Join(c.records, "\n") || len(errs) != len(faults) {
			t.Errorf("%q\nis read as\n%q %q\nand with a small buffer as\n%q %v", text, got, faults, c.records, errs)
		}
		for i := range min(len(errs), len(faults)) {
			if errs[i].Error() != faults[i] {
				t.Errorf("%q: %s, and with a small buffer %v", text, faults[i], errs[i])
			}
		}
	})
}

// shortText makes a text with a buffer of so many octets.
func shortText(size int) text { return text{buf: make([]byte, 0, size)} }

// FuzzGenerate compares templates of $GENERATE. The library gives what it makes
// the TTL 3600, and takes backslashes out of a template.
func FuzzGenerate(f *testing.F) {
	for _, s := range []string{"h$ A 192.0.2.$", "$ 3600 IN A 192.0.2.${1}", "${0,3,x}.x TXT \"$ ${2,2,o}\" $$", "h${-1,1,d} MX ${0,0,X} m$.", "a A 192.0.2.${300}", "h$ NS ${"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, template string) {
		if strings.ContainsAny(template, "\\\r\n();") || strings.Contains(template, "$$") {
			return
		}
		text := "$TTL 3600\n$GENERATE 1-5/2 " + template + "\n"
		got, _, faults := ours(text)
		want, err := theirs(text)
		if len(faults) == 0 && err == nil && strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%q makes\n%s\nin the library\n%s", template, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// FuzzAddress compares addresses with net/netip.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "1.2.3", "1.2.3.4.", "01.2.3.4", "256.1.1.1", "::", "::1", "1::", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1::2::3",
		"1:2:3:4:5:6:1.2.3.4", "::1.2.3.4", "::ffff:1.2.3.4", "1:2:3:4:5:6:7:1.2.3.4", "12345::", ":1", "1:", "::1%eth0", "fe80::a:1.2.3.4:5", "1::1.2.3", ":::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		want, err := netip.ParseAddr(s)
		v4, ok4 := appendIPv4([]byte("x"), []byte(s))
		v6, ok6 := appendIPv6([]byte("x"), []byte(s))
		if err == nil && want.Zone() != "" {
			err = errors.New("a zone is no part of an address")
		}
		switch {
		case err != nil && (ok4 || ok6):
			t.Errorf("%q is read as %x or %x, but is no address", s, v4, v6)
		case err == nil && (ok4 != want.Is4() || ok6 != want.Is6()):
			t.Errorf("%q: IPv4 %v, IPv6 %v, want %v", s, ok4, ok6, want)
		case err == nil && ok4 && string(v4[1:]) != string(want.AsSlice()), err == nil && ok6 && string(v6[1:]) != string(want.AsSlice()):
			t.Errorf("%q is read as %x or %x, want %x", s, v4[1:], v6[1:], want.AsSlice())
		}
	})
}
