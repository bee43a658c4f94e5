package dnssec

import (
	"bytes"
	"testing"
)

// A cache that was written and read again spares all signatures, of those keys
// that are still there.
func TestCacheOnDisk(t *testing.T) {
	z := readZone(t, "example.", sample)
	ksk, zsk := mustKey(t, "example.", RSASHA256, KSK), mustKey(t, "example.", ECDSAP384SHA384, ZSK)
	s := Signing{Keys: use(ksk, zsk)}
	first := signSample(t, z, s, testTime)
	var file bytes.Buffer
	n, err := first.result.Cache.WriteTo(&file)
	if err != nil || n != int64(file.Len()) {
		t.Fatalf("%d of %d octets; %v", n, file.Len(), err)
	}
	for _, test := range []struct {
		keys []*Key
		made int
	}{
		{[]*Key{zsk, ksk}, 0},
		{[]*Key{zsk}, 3}, // DNSKEY, CDS, CDNSKEY
		{nil, first.result.Made},
	} {
		s.Cache, err = ReadCache(bytes.NewReader(file.Bytes()), test.keys)
		if err != nil {
			t.Fatal(err)
		}
		again := signSample(t, z, s, testTime)
		if again.result.Made != test.made || again.master() != first.master() {
			t.Errorf("with %v: %d made, %d wanted", test.keys, again.result.Made, test.made)
		}
	}
	// No octet can be changed or left out unnoticed.
	for i := 0; i < file.Len(); i += 7 {
		broken := bytes.Clone(file.Bytes())
		broken[i] ^= 0x10
		if _, err := ReadCache(bytes.NewReader(broken), use(ksk, zsk).Publish); err == nil {
			t.Fatalf("octet %d was changed, and the file is taken", i)
		}
		if _, err := ReadCache(bytes.NewReader(file.Bytes()[:i]), nil); err == nil {
			t.Fatalf("the file ends at %d and is taken", i)
		}
	}
}
