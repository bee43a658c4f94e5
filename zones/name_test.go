package zones

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
	"testing"

	"gslb/dnsname"
)

// Folding eight octets at once does to each what LowerByte does to it, whatever
// stands beside it.
func TestFold8(t *testing.T) {
	for beside := range 256 {
		for c := range 256 {
			for at := range 8 {
				in, want := bytes.Repeat([]byte{byte(beside)}, 8), bytes.Repeat([]byte{dnsname.LowerByte(byte(beside))}, 8)
				in[at], want[at] = byte(c), dnsname.LowerByte(byte(c))
				if got := fold8(binary.LittleEndian.Uint64(in)); got != binary.LittleEndian.Uint64(want) {
					t.Fatalf("%x becomes %x, want %x", in, bits.ReverseBytes64(got), want)
				}
			}
		}
	}
}

// A name is what plain reading says it is; its hashes are those of the names
// above it, and do not see the case of letters.
func FuzzName(f *testing.F) {
	f.Add([]byte("\x03WwW\x03abc\x03com\x00more"))
	f.Add([]byte("\x00"))
	f.Add([]byte("\x3f" + strings.Repeat("Z", 63) + "\x10" + strings.Repeat("y", 16) + "\x0f" + strings.Repeat("x", 15) + "\x00"))
	f.Add([]byte(strings.Repeat("\x01a", 127) + "\x00"))
	f.Add([]byte(strings.Repeat("\x01a", 128) + "\x00"))
	f.Add([]byte("\xc0\x0c"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var n, other Name
		size := n.Set(b)
		if want := dnsname.Len(b); size != want {
			t.Fatalf("%x: length %d, want %d", b, size, want)
		}
		if size < 0 {
			return
		}
		if want := lower(bytes.Clone(b[:size])); !bytes.Equal(n.Wire(), want) {
			t.Fatalf("%x: %x, want %x", b, n.Wire(), want)
		}
		for k := 0; k <= n.labels; k++ {
			if other.Set(n.from(k)); other.hash[0] != n.hash[k] || other.labels != n.labels-k {
				t.Fatalf("%x: the hash from label %d on is not that of the name there", b, k)
			}
		}
		if len(n.Wire()) < dnsname.Max-2 {
			other.Set(append([]byte("\x01*"), n.Wire()...))
			if other.hash[0] != wildHash(n.hash[0]) {
				t.Fatalf("%x: wrong hash for the wildcard", b)
			}
		}
	})
}
