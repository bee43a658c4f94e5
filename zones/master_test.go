package zones

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// masterCases are entries and what they become: owner, TTL, type and data of
// each record. The line before them is $TTL 60.
var masterCases = []struct{ rule, text, want string }{
	{"a record", "x A 192.0.2.1\n", "x.abc.com. 60 A c0000201"},
	{"TTL and class", "x 5 IN A 192.0.2.1\n", "x.abc.com. 5 A c0000201"},
	{"class and TTL", "x IN 5 A 192.0.2.1\n", "x.abc.com. 5 A c0000201"},
	{"lower case", "x in a 192.0.2.1\n", "x.abc.com. 60 A c0000201"},
	{"letters as written", "WwW A 192.0.2.1\n", "WwW.abc.com. 60 A c0000201"},
	{"units", "x 1h30M5s A 192.0.2.1\n", "x.abc.com. 5405 A c0000201"},
	{"CLASS1", "x CLASS1 TYPE1 192.0.2.1\n", "x.abc.com. 60 A c0000201"},
	{"origin", "@ A 192.0.2.1\n", "abc.com. 60 A c0000201"},
	{"escaped @", "\\@ A 192.0.2.1\n", "\\@.abc.com. 60 A c0000201"},
	{"absolute", "x.abc.com. A 192.0.2.1\n", "x.abc.com. 60 A c0000201"},
	{"escapes in a name", "a\\.b\\032c\\\\ A 192.0.2.1\n", "a\\.b\\ c\\\\.abc.com. 60 A c0000201"},
	{"no line break at the end", "x A 192.0.2.1", "x.abc.com. 60 A c0000201"},
	{"CRLF", "x A 192.0.2.1\r\n", "x.abc.com. 60 A c0000201"},
	{"comments", "; one\nx A 192.0.2.1;two\n;three", "x.abc.com. 60 A c0000201"},
	{"parentheses", "x ( ; (\n 5 IN\n A (\n) 192.0.2.1 )\n", "x.abc.com. 5 A c0000201"},
	{"parentheses without blanks", "x A(192.0.2.1)\n", "x.abc.com. 60 A c0000201"},
	{"a name that is a type", "a A 192.0.2.1\n", "a.abc.com. 60 A c0000201"},
	{"wildcard", "*.x A 192.0.2.1\n", "*.x.abc.com. 60 A c0000201"},
	{"underscore", "_s._tcp SRV 0 5 443 x\n", "_s._tcp.abc.com. 60 SRV 0000000501bb01780361626303636f6d00"},
	{"root", "x NS .\n", "x.abc.com. 60 NS 00"},
	{"MX", "x MX 10 @\n", "x.abc.com. 60 MX 000a0361626303636f6d00"},
	{"AAAA", "x AAAA 2001:DB8::1:0\n", "x.abc.com. 60 AAAA 20010db8000000000000000000010000"},
	{"AAAA with IPv4", "x AAAA ::ffff:192.0.2.1\n", "x.abc.com. 60 AAAA 00000000000000000000ffffc0000201"},
	{"TXT", "x TXT a \"b ; c\" \"\" \"\\\"\\065\"\n", "x.abc.com. 60 TXT 016105622" + "03b20630002" + "2241"},
	{"TXT that touch", "x TXT \"a\"\"b\"c\n", "x.abc.com. 60 TXT 016101620163"},
	{"TXT over lines", "x TXT ( \"a\nb\" )\n", "x.abc.com. 60 TXT 03610a62"},
	{"CAA", "x CAA 128 issue \"ca; x=1\"\n", "x.abc.com. 60 CAA 80056973737565" + hex.EncodeToString([]byte("ca; x=1"))},
	{"SOA with units", "@ SOA a b 1 2h 15m 2w 1d\n", "abc.com. 60 SOA 01610361626303636f6d0001620361626303636f6d000000000100001c20000003840012750000015180"},
	{"generic", "x TYPE65280 \\# 3 ab cdef\n", "x.abc.com. 60 TYPE65280 abcdef"},
	{"generic, no data", "x TYPE65280 \\# 0\n", "x.abc.com. 60 TYPE65280 "},
	{"generic A", "x A \\# 4 c0000201\n", "x.abc.com. 60 A c0000201"},
	{"generic NAPTR", "x NAPTR \\# 8 0001000200000000\n", "x.abc.com. 60 NAPTR 0001000200000000"},
	{"DS in parts", "x DS 1 ECDSAP256SHA256 2 AB ( cd\nef )\n", "x.abc.com. 60 DS 00010d02abcdef"},
	{"NSEC", "x NSEC @ RRSIG A TYPE1234 A\n", "x.abc.com. 60 NSEC 0361626303636f6d000006400000000002041b000000000000000000000000000000000000000000000000000020"},
	{"RRSIG", "x RRSIG TYPE1 13 3 5m 20300101000000 1577836800 7 @ ZW9m Cg==\n", "x.abc.com. 60 RRSIG 00010d030000012c70dbd8805e0be10000070361626303636f6d00656f660a"},
	{"the library's", "x LOC 37 34 12.0 N 126 58 48.0 E 10m\n", "x.abc.com. 60 LOC 00121613880fc8209b3f384000989a68"},
	{"IPSECKEY alone on its line", "k IPSECKEY 10 1 2 192.0.2.38 AQ==\nx A 192.0.2.1\n", "k.abc.com. 60 IPSECKEY 0a0102c000022601\nx.abc.com. 60 A c0000201"},
	{"blank owner", "x A 192.0.2.1\n\tA 192.0.2.2\n ; comment\n\n  5 AAAA ::\n", "x.abc.com. 60 A c0000201\nx.abc.com. 60 A c0000202\nx.abc.com. 5 AAAA 00000000000000000000000000000000"},
	{"$TTL", "x A 192.0.2.1\n$ttl 1h\nx 5 A 192.0.2.2\nx A 192.0.2.3\n", "x.abc.com. 60 A c0000201\nx.abc.com. 5 A c0000202\nx.abc.com. 3600 A c0000203"},
	{"$ORIGIN", "$ORIGIN y\nx A 192.0.2.1\n$ORIGIN z.abc.com. ; c\n A 192.0.2.2\n@ A 192.0.2.3\n", "x.y.abc.com. 60 A c0000201\nx.y.abc.com. 60 A c0000202\nz.abc.com. 60 A c0000203"},
	{"$GENERATE", "$GENERATE 1-5/2 h$ A 192.0.2.$\n", "h1.abc.com. 60 A c0000201\nh3.abc.com. 60 A c0000203\nh5.abc.com. 60 A c0000205"},
	{"$GENERATE with modifiers", "$GENERATE 9-10 ${-5,3,d}-${0,2,x}-${0,0,o}-${1} 5 IN A 192.0.2.1 ; c\n", "004-09-11-10.abc.com. 5 A c0000201\n005-0a-12-11.abc.com. 5 A c0000201"},
	{"$GENERATE with escapes", "$GENERATE 1-1 a\\$b$$$ TXT \"$\" \\$\n", "a$b$1.abc.com. 60 TXT 01310124"},
	{"$GENERATE of nibbles", "$GENERATE 18-18 ${0,3,n} PTR h${0,0,N}.\n", "2.1.abc.com. 60 PTR 026832013100"},
	{"$GENERATE leaves the owner", "x A 192.0.2.1\n$GENERATE 1-1 h$ A 192.0.2.$\n A 192.0.2.2\n", "x.abc.com. 60 A c0000201\nh1.abc.com. 60 A c0000201\nx.abc.com. 60 A c0000202"},
	{"long name", strings.Repeat("abcdefg.", 30) + "x A \\# 4 c0000201\n", strings.Repeat("abcdefg.", 30) + "x.abc.com. 60 A c0000201"},
}

// masterFaults are entries that are refused, and in what words.
var masterFaults = []struct{ rule, text, want string }{
	{"no owner", " A 192.0.2.1\n", "z:2:2: record without an owner name"},
	{"unknown type", "x WHAT 1\n", `z:2:3: "WHAT" is no record type, class or TTL`},
	{"no type", "x 60 IN\n", "z:2:8: record without a type"},
	{"two TTLs", "x 60 60 A 192.0.2.1\n", `z:2:6: "60" behind another TTL`},
	{"two classes", "x IN IN A 192.0.2.1\n", `z:2:6: class "IN" behind another one`},
	{"another class", "x CH A 192.0.2.1\n", "z:2:3: class CH: only IN is served"},
	{"TTL too large", "x 2147483648 A 192.0.2.1\n", "z:2:3: TTL 2147483648: at most 2147483647"},
	{"no TTL", "x 5x A 192.0.2.1\n", `z:2:3: "5x" is no TTL`},
	{"quoted type", "x \"A\" 192.0.2.1\n", `z:2:4: "A": a TTL, class or type stands without quotes`},
	{"quoted owner", "\"x\" A 192.0.2.1\n", `z:2:2: "x": an owner name stands without quotes`},
	{"quoted name", "x NS \"y\"\n", "z:2:7: x.abc.com. NS: the server's name stands without quotes"},
	{"empty label", "x..y A 192.0.2.1\n", `z:2:1: owner "x..y" is not a name: two dots`},
	{"dot in front", ".x A 192.0.2.1\n", `z:2:1: owner ".x" is not a name`},
	{"long label", strings.Repeat("x", 64) + " A 192.0.2.1\n", "has a label that is too long"},
	{"long name with its origin", strings.Repeat("abcdefg.", 31) + "x A 192.0.2.1\n", "z:2:1: owner \"abcdefg."},
	{"\\DDD too large", "x\\256 A 192.0.2.1\n", `has a \DDD above \255`},
	{"\\DDD too short", "x\\25 A 192.0.2.1\n", `has a \ with less than three digits`},
	{"\\ at the end", "x TXT a\\\n", `z:2:8: this \ ends the line`},
	{"\\ at the end of file", "x TXT a\\", `z:2:8: this \ ends the line`},
	{"quote not closed", "x TXT \"a\n", `z:2:7: the text that this " opens is not closed on the line`},
	{"quote not closed in parentheses", "x TXT ( \"a\n\n", `z:2:9: the text that this " opens is never closed`},
	{"( not closed", "x TXT ( a\n(\n\n", "z:2:7: this ( is never closed"},
	{") too many", "x TXT a )\n", "z:2:9: this ) closes nothing"},
	{"no data", "x A\n", "z:2:4: x.abc.com. A: the address is missing"},
	{"too few data", "x MX 10\n", "z:2:8: x.abc.com. MX: the exchange is missing"},
	{"too many data", "x A 192.0.2.1 192.0.2.2\n", `z:2:15: x.abc.com. A: "192.0.2.2" is one field too many`},
	{"CAA with blanks", "x CAA 0 issue a b\n", `z:2:17: x.abc.com. CAA: "b" is one field too many; a text with blanks needs quotes`},
	{"CAA tag", "x CAA 0 is-sue a\n", `z:2:9: x.abc.com. CAA: tag "is-sue" is not of letters and digits`},
	{"IPv6 in A", "x A ::1\n", `z:2:5: x.abc.com. A: address "::1" is not an IPv4 address: AAAA records hold IPv6 ones`},
	{"IPv4 in AAAA", "x AAAA 192.0.2.1\n", `is not an IPv6 address: A records hold IPv4 ones`},
	{"leading zero", "x A 192.0.2.01\n", "is not an IPv4 address"},
	{"preference", "x MX ten y\n", `z:2:6: x.abc.com. MX: preference "ten" is not a number from 0 to 65535`},
	{"number too large", "x SRV 0 0 65536 y\n", `z:2:11: x.abc.com. SRV: port "65536" is not a number from 0 to 65535`},
	{"SOA serial with a unit", "@ SOA a b 1h 1 1 1 1\n", `serial "1h" is not a number`},
	{"SOA on lines", "@ SOA a b (\n 1 1 1\n 1x 1 )\n", `z:4:2: abc.com. SOA: expire "1x" is not a time`},
	{"odd hexadecimal", "x DS 1 13 2 abc\n", "z:2:13: x.abc.com. DS: the digest is not hexadecimal"},
	{"base64", "x DNSKEY 256 3 13 Z!==\n", "z:2:19: x.abc.com. DNSKEY: the public key is not in base64"},
	{"no such day", "x RRSIG A 13 3 300 20300230000000 0 1 @ ZW9m\n", `expiration "20300230000000" is not a time`},
	{"unknown type in a bitmap", "x NSEC @ A WHAT\n", `z:2:12: x.abc.com. NSEC: "WHAT" among the types is not a record type`},
	{"type without a name", "x TYPE65280 abc\n", `written as \# LENGTH HEX`},
	{"generic, wrong length", "x TYPE65280 \\# 2 ab\n", `z:2:16: x.abc.com. TYPE65280: \# announces 2 octets, but 1 follow`},
	{"generic, wrong data", "x MX \\# 2 000a\n", "z:2: x.abc.com. MX has data that is not one of its type"},
	{"fault of the library's", "x LOC 37 34 12.0 N 126 58 48.0 Q 10m\n", `z:2:32: x.abc.com. LOC: bad LOC Longitude East/West: "Q"`},
	{"too few of the library's", "x TALINK y\n", "z:2:11: x.abc.com. TALINK: bad TALINK NextName: nothing stands there"},
	{"type of questions", "x ANY \\# 0\n", "ANY is a type for questions or messages only"},
	{"long charString", "x NAPTR 1 1 \"" + strings.Repeat("a", 256) + "\" \"\" \"\" .\n", "the flags has 256 octets: at most 255"},
	{"unknown directive", "$TLL 60\n", "z:2:1: $TLL is no directive"},
	{"directive not at the start", " $TTL 60\n", "z:2:2: record without an owner"},
	{"$TTL without value", "$TTL ; c\n", "z:2:5: $TTL is not whole: it is written as $TTL 300"},
	{"$TTL with two", "$TTL 1 2\n", `z:2:8: "2" is one field too many: it is written as $TTL 300`},
	{"$ORIGIN", "$ORIGIN a..b\n", `z:2:9: origin "a..b" is not a name`},
	{"$INCLUDE nothing", "$INCLUDE nothere\n", "z:2:10: nothere: no such file or directory"},
	{"$GENERATE range", "$GENERATE 5-1 h$ A 192.0.2.$\n", `z:2:11: "5-1" is a range that ends before it starts`},
	{"$GENERATE step", "$GENERATE 1-5/0 h$ A 192.0.2.$\n", `z:2:11: "1-5/0" is not a range`},
	{"$GENERATE size", "$GENERATE 0-65536 h$ A 192.0.2.1\n", `makes 65537 records: at most 65536`},
	{"$GENERATE modifier", "$GENERATE 1-2 h${0,1,q} A 192.0.2.1\n", `z:2:15: "${0,1,q}" is not ${offset,width,base}`},
	{"$GENERATE brace", "$GENERATE 1-2 h${0 A 192.0.2.1\n", `the } is missing`},
	{"$GENERATE offset", "$GENERATE 1-2 h${-2} A 192.0.2.1\n", `1 to 2 become -1 to 0`},
	{"$GENERATE tells once", "$GENERATE 256-300 h$ A 192.0.2.$\n", `z:2:1: $GENERATE at 256: h256.abc.com. A: address "192.0.2.256" is not an IPv4 address`},
	{"$GENERATE without data", "$GENERATE 1-2 h$\n", "z:2:17: $GENERATE is not whole"},
}

// readable gives records of a collector with their owner as text.
func readable(records []string) string {
	for i, r := range records {
		name, rest, _ := strings.Cut(r, " ")
		wire, _ := hex.DecodeString(name)
		records[i] = FormatName(wire) + " " + rest
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

// counter is a sink that keeps nothing.
type counter struct {
	collector
	n int
}

func (c *counter) add(record) error { c.n++; return nil }

// masterLines are entries of the types of large zones, with the bytes of each one's data.
var masterLines = []struct{ name, line string }{
	{"A", "h123456 A 10.1.2.3\n"},
	{"AAAA", "h123456 AAAA 2001:db8::10:1:2:3\n"},
	{"CNAME", "h123456 3600 IN CNAME www\n"},
	{"MX", "h123456 IN 1h MX 10 mail.example.com.\n"},
	{"TXT", "h123456 TXT \"v=spf1 -all\" \"a\\\"b\"\n"},
	{"SRV", "_sip._tcp SRV 0 5 5060 h123456\n"},
	{"DS", "h123456 DS 1 13 2 00000000000000000000000000000000000000000000000000000000000000FF\n"},
	{"RRSIG", "h123456 RRSIG A 13 3 300 20300101000000 20200101000000 12345 @ AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n"},
	{"NSEC", "h123456 NSEC h123457 A RRSIG NSEC\n"},
	{"NSEC3", "2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG\n"},
}

// A record of the types of large zones costs no allocation.
func TestMasterAllocatesNothing(t *testing.T) {
	origin, _ := ParseName("example.com.")
	for _, c := range masterLines {
		text := "$TTL 60\n" + strings.Repeat(c.line, 1000)
		var m master
		var sink counter
		read := func() {
			if _, faults := m.read("example.com.", "z", origin, strings.NewReader(text), &sink); faults != nil {
				t.Fatal(faults)
			}
		}
		// The reader of the text, and what its name and faults are handed over in.
		if n := testing.AllocsPerRun(5, read); n > 10 {
			t.Errorf("%s: %v allocations for 1000 records", c.name, n)
		}
	}
}

func BenchmarkMaster(b *testing.B) {
	origin, _ := ParseName("example.com.")
	for _, c := range masterLines {
		b.Run(c.name, func(b *testing.B) {
			text := "$TTL 60\n" + strings.Repeat(c.line, 10000)
			var m master
			var sink counter
			b.ReportAllocs()
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				if _, faults := m.read("example.com.", "z", origin, strings.NewReader(text), &sink); faults != nil {
					b.Fatal(faults)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(sink.n), "ns/record")
		})
	}
}
