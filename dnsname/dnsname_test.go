package dnsname

import (
	"strings"
	"testing"
)

func TestParseAndFormat(t *testing.T) {
	long := strings.Repeat("a.", 127) // 255 octets with the root
	for in, want := range map[string]string{
		".": ".", "abc.com.": "abc.com.", "abc.com": "abc.com.", "WwW.abc.com.": "WwW.abc.com.",
		`a\.b.c.`: `a\.b.c.`, `\000\255.c.`: `\000\255.c.`, long: long, strings.Repeat("x", 63) + ".": strings.Repeat("x", 63) + ".",
		`\\800.c.`: `\\800.c.`, `\800.c.`: "", `a\256.`: "", "": "", "a..b.": "", long + "a.": "", strings.Repeat("x", 64) + ".": "",
	} {
		wire, err := Parse(in)
		switch {
		case want == "":
			if err == nil {
				t.Errorf("%q is taken", in)
			}
		case err != nil || Format(wire) != want || Len(wire) != len(wire):
			t.Errorf("%q: %v, %q of %d octets, want %q", in, err, Format(wire), Len(wire), want)
		}
	}
	if got := Format([]byte("\x05ab")); got != `\# 3 056162` {
		t.Errorf("what is no name is written %q", got)
	}
}

func TestLen(t *testing.T) {
	for in, want := range map[string]int{
		"\x00": 1, "\x03abc\x00more": 5, "": -1, "\x03ab": -1, "\x03abc": -1, "\x40": -1, "\xc0\x0c": -1,
		strings.Repeat("\x01a", 127) + "\x00": 255, strings.Repeat("\x01a", 128) + "\x00": -1,
	} {
		if got := Len([]byte(in)); got != want {
			t.Errorf("%x: %d, want %d", in, got, want)
		}
	}
}

func TestCase(t *testing.T) {
	for c := range 256 {
		if got, want := LowerByte(byte(c)), byte(c)|0x20; 'A' <= c && c <= 'Z' && got != want || (c < 'A' || c > 'Z') && got != byte(c) {
			t.Errorf("%x becomes %x", c, got)
		}
	}
	if got := AppendLower([]byte("x"), []byte("\x03WwW\x00")); string(got) != "x\x03www\x00" {
		t.Errorf("%q", got)
	}
	for in, want := range map[string]bool{"\x01*\x03com\x00": true, "\x01*\x00": true, "\x02**\x00": false, "\x03abc\x00": false, "\x00": false, "\x01*": false} {
		if IsWild([]byte(in)) != want {
			t.Errorf("%q: %v", in, !want)
		}
	}
}
