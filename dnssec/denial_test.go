package dnssec

import (
	"encoding/hex"
	"testing"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// RFC 5155, appendix A.
func TestNSEC3Hashes(t *testing.T) {
	params := NSEC3Params{Iterations: 12, Salt: []byte{0xaa, 0xbb, 0xcc, 0xdd}}
	for name, want := range map[string]string{
		"example":       "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom",
		"a.example":     "35mthgpgcu1qg68fab165klnsnk3dpvl",
		"ai.example":    "gjeqe526plbf1g8mklp59enfd789njgi",
		"ns1.example":   "2t7b4g4vsa5smi47k61mv5bv1a22bojr",
		"ns2.example":   "q04jkcevqvmu85r014c7dkba38o0ji5r",
		"w.example":     "k8udemvp1j2f7eg6jebps17vp3n8i58h",
		"*.w.example":   "r53bq7cc2uvmubfu5ocmm6pers9tk9en",
		"x.w.example":   "b4um86eghhds6nea196smvmlo4ors995",
		"y.w.example":   "ji6neoaepv8b5o6k4ev33abha8ht9fgc",
		"x.y.w.example": "2vptu5timamqttgl4luu9kg21e0aor3s",
		"xx.example":    "t644ebqk9bibcna874givr6joj62mlhv",
	} {
		owner := AppendOwner(nil, params.Hash(mustName(t, name)), mustName(t, "example"))
		if got := dnsname.Format(owner); got != want+".example." {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// RFC 4034, section 4.3, and a window of its own for each 256 types.
func TestBitmap(t *testing.T) {
	for want, types := range map[string][]uint16{
		"0006400100000003" + "041b000000000000000000000000000000000000000000000000000020": {1234, dns.TypeA, dns.TypeMX, dns.TypeRRSIG, dns.TypeNSEC},
		"":            {},
		"0001" + "40": {1},
		"ff20" + hex.EncodeToString(append(make([]byte, 31), 1)): {65535},
	} {
		got := AppendBitmap(nil, types)
		if hex.EncodeToString(got) != want {
			t.Errorf("%v: %x, want %s", types, got, want)
		}
	}
}
