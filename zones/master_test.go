package zones

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"gslb/dnsname"
)

// readable gives records of a collector with their owner as text.
func readable(records []string) string {
	for i, r := range records {
		name, rest, _ := strings.Cut(r, " ")
		wire, _ := hex.DecodeString(name)
		records[i] = dnsname.Format(wire) + " " + rest
	}
	return strings.Join(records, "\n")
}

func TestMaster(t *testing.T) {
	for _, c := range masterCases {
		t.Run(c.rule, func(t *testing.T) {
			records, warnings, faults := ours("$TTL 60\n" + c.text)
			if got := readable(records); got != c.want || len(warnings)+len(faults) > 0 {
				t.Errorf("%q is read as\n%s\nwant\n%s\nwarnings %q, faults %q", c.text, got, c.want, warnings, faults)
			}
		})
	}
}

func TestMasterFaults(t *testing.T) {
	for _, c := range masterFaults {
		t.Run(c.rule, func(t *testing.T) {
			// What comes behind a fault is read on.
			records, _, faults := ours("$TTL 60\n" + c.text)
			if len(faults) != 1 || !strings.HasPrefix(faults[0], "zone abc.com.: z:") || !strings.Contains(faults[0], c.want) || len(records) > 0 {
				t.Errorf("%q\nfaults  %q\nwant    %q\nrecords %q", c.text, faults, c.want, records)
			}
		})
	}
}

// All faults of a file are told, in its order, as far as there are 20 or fewer.
func TestManyFaults(t *testing.T) {
	_, _, faults := ours("$TTL 60\n@ SOA a\nx A (\n 192.0.2.300\n)\ny WHAT )\nz TXT \"a\nv..w A 192.0.2.1\n A 192.0.2.400\n A 192.0.2.1\nu A 192.0.2.1\nt A b\n")
	var got []string
	for _, f := range faults {
		got = append(got, strings.SplitN(f, ": ", 3)[1])
	}
	if want := []string{"z:2:8", "z:4:2", "z:6:8", "z:7:7", "z:8:1", "z:9:4", "z:12:5"}; !slices.Equal(got, want) {
		t.Errorf("faults at %q, want %q\n%s", got, want, strings.Join(faults, "\n"))
	}
	for n, want := range map[int]int{19: 19, 20: 20, 21: 21, 2000: 21} {
		_, _, faults := ours("$TTL 60\n" + strings.Repeat("x A y\n", n))
		if len(faults) != want || (want == 21) != strings.HasSuffix(faults[len(faults)-1], "more than 20 faults: the rest is not told") {
			t.Errorf("%d faults are told as %d, the last one %s", n, len(faults), faults[len(faults)-1])
		}
	}
}

// A fault that the sink finds is told at the line of its record, and reading goes on.
func TestFaultsOfTheSink(t *testing.T) {
	c := collector{refuse: func(rec record) error {
		if rec.owner[1] == 'b' {
			return errors.New("no b here")
		}
		return nil
	}}
	_, faults := new(master).read("abc.com.", "z", []byte{0}, strings.NewReader("$TTL 60\nb (\n A 192.0.2.1 )\na A 192.0.2.1\n$GENERATE 1-2 b$ A 192.0.2.1\n"), &c)
	want := "zone abc.com.: z:2: no b here\nzone abc.com.: z:5: $GENERATE at 1: no b here"
	if got := errors.Join(faults...).Error(); got != want || len(c.records) != 1 || c.lines[0] != 4 {
		t.Errorf("%s\nwant\n%s\nrecords %q at lines %d", got, want, c.records, c.lines)
	}
}

// Where a record's TTL comes from: RFC 1035, section 5.1, and RFC 2308, section 4.
func TestDefaultTTL(t *testing.T) {
	const soa, a = "@ SOA a b 1 2 3 4 900\n", "x A 192.0.2.1\n"
	for _, c := range []struct{ rule, text, ttls, told string }{
		{"$TTL", "$TTL 60\nx 5 A 192.0.2.1\n" + a, "5 60", ""},
		{"the last one with a TTL", "x 5 A 192.0.2.1\n" + a + "x IN 7 A 192.0.2.2\n" + a, "5 5 7 7", ""},
		{"$TTL wins over it", "x 5 A 192.0.2.1\n$TTL 60\n" + a, "5 60", ""},
		{"the SOA record's MINIMUM", soa + a, "900 900", "z:1: no TTL is given: the SOA record's last field, 900, is used"},
		{"a TTL comes before it", strings.Replace(soa, "SOA", "5 SOA", 1) + a, "5 5", ""},
		{"none", a + a, "", "z:1:3: x.abc.com. A: no TTL is given"},
		{"$GENERATE", "$TTL 60\n$GENERATE 1-1 h$ A 192.0.2.1\n", "60", ""},
	} {
		records, warnings, faults := ours(c.text)
		var ttls []string
		for _, r := range records {
			ttls = append(ttls, strings.Fields(r)[1])
		}
		told := strings.Join(append(warnings, faults...), "\n")
		if got := strings.Join(ttls, " "); got != c.ttls || !strings.Contains(told, c.told) || (told == "") != (c.told == "") {
			t.Errorf("%s: TTLs %s, want %s; told %q, want %q", c.rule, got, c.ttls, told, c.told)
		}
	}
}

// readDir writes files into a directory and reads the one called main.
func readDir(t *testing.T, files map[string]string) (c collector, faults []string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(filepath.Join(dir, "main"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, errs := new(master).read("abc.com.", f.Name(), []byte("\x03abc\x03com\x00"), f, &c)
	for _, err := range errs {
		faults = append(faults, strings.ReplaceAll(err.Error(), dir, "DIR"))
	}
	for i := range c.files {
		c.files[i] = strings.ReplaceAll(c.files[i], dir, "DIR")
	}
	return c, faults
}

func TestInclude(t *testing.T) {
	c, faults := readDir(t, map[string]string{
		"main":           "$TTL 60\nx A 192.0.2.1\n$INCLUDE sub/one y ; c\n A 192.0.2.2\n$INCLUDE \"sub/a b\"\n$INCLUDE sub/a\\032b\nz A 192.0.2.9\n",
		"sub/one":        "$TTL 5\n@ A 192.0.2.3\n$INCLUDE deeper/two\n$ORIGIN q.\nr A 192.0.2.5\n",
		"sub/deeper/two": "s A 192.0.2.4",
		"sub/a b":        "t A 192.0.2.6\n",
	})
	want := "x.abc.com. 60 A c0000201\ny.abc.com. 5 A c0000203\ns.y.abc.com. 5 A c0000204\nr.q. 5 A c0000205\nx.abc.com. 60 A c0000202\n" +
		"t.abc.com. 60 A c0000206\nt.abc.com. 60 A c0000206\nz.abc.com. 60 A c0000209"
	if got := readable(c.records); got != want || len(faults) > 0 {
		t.Errorf("read as\n%s\nwant\n%s\nfaults %q", got, want, faults)
	}
	if want := []string{"DIR/main", "DIR/sub/one", "DIR/sub/deeper/two", "DIR/sub/a b", "DIR/sub/a b"}; !slices.Equal(c.files, want) {
		t.Errorf("files %q, want %q", c.files, want)
	}
}

func TestIncludeFaults(t *testing.T) {
	deep := map[string]string{"main": "$INCLUDE 1\n"}
	for i := range 30 {
		deep[fmt.Sprint(i)] = fmt.Sprintf("$INCLUDE %d\n", i+1)
	}
	for _, c := range []struct {
		rule  string
		files map[string]string
		want  string
	}{
		{"itself", map[string]string{"main": "$INCLUDE ./main\n"}, "DIR/main:1:10: DIR/main includes itself, by way of DIR/main"},
		{"a loop", map[string]string{"main": "$INCLUDE a/b\n", "a/b": "\n$INCLUDE ../main"}, "DIR/a/b:2:10: DIR/main includes itself, by way of DIR/main -> DIR/a/b"},
		{"deep", deep, "DIR/10:1:10: DIR/11 would be included 11 files deep, at most 10"},
		{"a directory", map[string]string{"main": "$INCLUDE a\n", "a/b": ""}, "DIR/main:1:10: DIR/a is a directory"},
		{"nothing", map[string]string{"main": "$INCLUDE \"\"\n"}, `DIR/main:1:11: "" is not the name of a file`},
		{"origin", map[string]string{"main": "$INCLUDE a b..c\n"}, `DIR/main:1:12: origin "b..c" is not a name`},
		{"no owner in it", map[string]string{"main": "$TTL 60\nx A 192.0.2.1\n$INCLUDE a\n", "a": " A 192.0.2.2\n"}, "DIR/a:1:2: record without an owner name"},
		{"a fault in it", map[string]string{"main": "$TTL 60\n$INCLUDE a\n", "a": "\nx A y\n"}, "DIR/a:2:5: x.abc.com. A:"},
	} {
		_, faults := readDir(t, c.files)
		if len(faults) != 1 || !strings.Contains(faults[0], c.want) {
			t.Errorf("%s: %q, want %q", c.rule, faults, c.want)
		}
	}
}

// The master file that docs/masterfiles.md shows is a good one.
func TestDocumentedMasterFile(t *testing.T) {
	page, err := os.ReadFile("../docs/masterfiles.md")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Split(string(page), "```\n")[1]
	c, faults := readDir(t, map[string]string{"main": text, "hosts.zone": "h A 192.0.2.1\n"})
	if len(c.records) != 26 || len(faults) > 0 {
		t.Errorf("%d records, faults %q\n%s", len(c.records), faults, text)
	}
}

// A file that cannot be read to its end is not served in part.
func TestReadError(t *testing.T) {
	r := io.MultiReader(strings.NewReader("$TTL 60\nx A 192.0.2.1\ny A 192.0"), iotest.ErrReader(errors.New("the disk is gone")))
	var c collector
	_, faults := new(master).read("abc.com.", "z", []byte{0}, r, &c)
	if len(faults) != 1 || faults[0].Error() != "zone abc.com.: z: the disk is gone" {
		t.Errorf("faults %q", faults)
	}
}

// A ( that is never closed does not hold a file of any size.
func TestLongEntry(t *testing.T) {
	text := "$TTL 60\nx TXT (\n" + strings.Repeat("a b c d e f g h ; and so on\n", maxEntry/16)
	_, _, faults := ours(text)
	if len(faults) != 1 || !strings.Contains(faults[0], "z:2:1: what begins here is longer than 1048576 octets: is a ) missing?") {
		t.Errorf("faults %.300q", faults)
	}
	if records, _, faults := ours("$TTL 60\n; " + strings.Repeat("c", 3*textChunk) + "\nx TXT (" + strings.Repeat("abcdefg\n", textChunk/9) + ")\ny A 192.0.2.1"); len(records) != 2 || len(faults) > 0 {
		t.Errorf("%d records, faults %.300q", len(records), faults)
	}
	if _, _, faults := ours("$TTL 60\nx TXT (" + strings.Repeat("abcdefg\n", textChunk/8) + strings.Repeat("\"\" ", 1<<16) + ")"); len(faults) != 1 || !strings.Contains(faults[0], "at most 65535") {
		t.Errorf("faults %.300q", faults)
	}
}

func TestByteOrderMark(t *testing.T) {
	records, _, faults := ours("\xef\xbb\xbf$TTL 60\nx A 192.0.2.1\n")
	if len(records) != 1 || len(faults) > 0 {
		t.Errorf("%q %q", records, faults)
	}
}

// Zones and errors of many files come in the order of the configuration.
func TestReadAll(t *testing.T) {
	dir := t.TempDir()
	var cfgs []Config
	for i := range 200 {
		text := "$TTL 60\n@ SOA a b 1 2 3 4 5\n@ NS n.other.\n"
		if i%3 == 0 {
			text = "$TTL 60\nx A y\n"
		}
		cfg := Config{Name: fmt.Sprintf("z%03d.example.", i), File: filepath.Join(dir, fmt.Sprint(i))}
		if err := os.WriteFile(cfg.File, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cfgs = append(cfgs, cfg)
	}
	zones, errs := readAll(cfgs)
	if len(zones) != 133 || len(errs) != 67 {
		t.Fatalf("%d zones and %d errors", len(zones), len(errs))
	}
	for i, err := range errs {
		if want := fmt.Sprintf("zone z%03d.example.: ", 3*i); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("error %d is %v, want one of %s", i, err, want)
		}
	}
	if !slices.IsSortedFunc(zones, func(a, b *Zone) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("zones are not in the order of the configuration")
	}
}
