package clienthello

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"sort"
	"strings"
	"testing"
)

// helloOf is what crypto/tls sends first.
func helloOf(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	cfg.InsecureSkipVerify = cfg.EncryptedClientHelloConfigList == nil
	client, server := net.Pipe()
	defer server.Close()
	go func() { tls.Client(client, cfg).Handshake(); client.Close() }()
	head := make([]byte, recordHead)
	if _, err := io.ReadFull(server, head); err != nil {
		t.Fatal(err)
	}
	b := append(head, make([]byte, binary.BigEndian.Uint16(head[3:]))...)
	if _, err := io.ReadFull(server, b[recordHead:]); err != nil {
		t.Fatal(err)
	}
	return b
}

// inRecords puts the message of one record into records of so many octets.
func inRecords(record []byte, size int) (b []byte) {
	for part := range slices.Chunk(record[recordHead:], size) {
		b = append(binary.BigEndian.AppendUint16(append(b, record[:3]...), uint16(len(part))), part...)
	}
	return b
}

// echList is an ECHConfigList (RFC 9849 section 4) of a fresh key, for the outer name.
func echList(t testing.TB, name string) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public := key.PublicKey().Bytes()
	b := []byte{7, 0, 0x20} // config_id, DHKEM(X25519, HKDF-SHA256)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(public))), public...)
	b = append(b, 0, 4, 0, 1, 0, 1, 0) // HKDF-SHA256, AES-128-GCM; maximum_name_length
	b = append(append(append(b, byte(len(name))), name...), 0, 0)
	config := binary.BigEndian.AppendUint16([]byte{0xfe, 0x0d}, uint16(len(b)))
	config = append(config, b...)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(config))), config...)
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		cfg       *tls.Config
		name      string
		protocols string
	}{
		"a name":           {&tls.Config{ServerName: "www.example.com"}, "www.example.com", ""},
		"TLS 1.2":          {&tls.Config{ServerName: "www.example.com", MaxVersion: tls.VersionTLS12}, "www.example.com", ""},
		"ALPN":             {&tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2", "http/1.1"}}, "www.example.com", "h2 http/1.1"},
		"no name":          {&tls.Config{}, "", ""},
		"an address":       {&tls.Config{ServerName: "192.0.2.1"}, "", ""},
		"ECH: the outer":   {&tls.Config{ServerName: "secret.example.com", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echList(t, "public.example.net")}, "public.example.net", ""},
		"many extensions":  {&tls.Config{ServerName: "www.example.com", NextProtos: []string{strings.Repeat("x", 255), strings.Repeat("y", 255)}}, "www.example.com", strings.Repeat("x", 255) + " " + strings.Repeat("y", 255)},
		"post-quantum key": {&tls.Config{ServerName: "www.example.com", CurvePreferences: []tls.CurveID{tls.X25519MLKEM768}}, "www.example.com", ""},
	} {
		record := helloOf(t, c.cfg)
		for _, size := range []int{recordMost, 3, 100, 1000} {
			b := append(inRecords(record, size), "what comes behind"...)
			h, err := Parse(b)
			var protocols []string
			for p := range h.Protocols() {
				protocols = append(protocols, string(p))
			}
			if err != nil || string(h.Name()) != c.name || strings.Join(protocols, " ") != c.protocols {
				t.Errorf("%s, records of %d: %q, %q, %v", name, size, h.Name(), protocols, err)
			}
			whole := len(b) - len("what comes behind")
			for short := 0; short < whole; short += 1 + short%5 {
				if _, err := Parse(b[:short]); err != ErrShort {
					t.Fatalf("%s, records of %d: %v with %d octets of %d", name, size, err, short, whole)
				}
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := helloOf(t, &tls.Config{ServerName: "www.example.com", NextProtos: []string{"h2"}})
	at := bytes.Index(good, []byte("www.example.com"))
	change := func(i int, to byte) []byte { b := bytes.Clone(good); b[i] = to; return b }
	for name, b := range map[string][]byte{
		"HTTP":                     []byte("GET / HTTP/1.1\r\n"),
		"one octet of SSH":         []byte("S"),
		"SSL 2":                    {0x80, 0x2e, 1, 3, 1},
		"an alert":                 {21, 3, 1, 0, 2, 2, 40},
		"another version":          {22, 2},
		"another handshake":        change(recordHead, 2),
		"an empty record":          {22, 3, 1, 0, 0},
		"a record too long":        {22, 3, 1, 0x40, 1},
		"then another record":      append(inRecords(good, 10)[:15], 23, 3, 3, 0, 1, 0),
		"session too long":         change(recordHead+handshakeHead+34, 33),
		"shorter than said":        change(recordHead+3, good[recordHead+3]-1),
		"an empty name":            change(at-1, 0),
		"a name list too long":     change(at-4, 200),
		"kind of name, and rest":   change(at-2, 1),
		"an extension too long":    change(at-6, 1),
		"an empty list of names":   made(0, 0, 0, 2, 0, 0),
		"two host names":           made(0, 0, 0, 10, 0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'),
		"no protocols":             made(0, 16, 0, 2, 0, 0),
		"an empty protocol":        made(0, 16, 0, 3, 0, 1, 0),
		"the same extension again": made(0, 0, 0, 6, 0, 4, 0, 0, 1, 'a', 0, 0, 0, 6, 0, 4, 0, 0, 1, 'a'),
	} {
		if _, err := Parse(b); !errors.Is(err, ErrNotTLS) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// made is a ClientHello with these extensions.
func made(extensions ...byte) []byte {
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0, 0, 2, 0x13, 1, 1, 0)
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(extensions))), extensions...)
	b := append([]byte{22, 3, 1, 0, byte(len(body) + 4), 1, 0, 0, byte(len(body))}, body...)
	return b
}

// Before TLS 1.3 there may be no extensions; what nobody asks for is skipped, and kinds
// of names that nobody knows.
func TestParseSkips(t *testing.T) {
	none := made()
	none = none[:len(none)-2]
	none[4] -= 2
	none[8] -= 2
	for name, c := range map[string]struct {
		hello []byte
		want  string
	}{
		"no extensions":         {none, ""},
		"an empty list of them": {made(), ""},
		"others":                {made(0x12, 0x34, 0, 3, 1, 2, 3, 0, 0, 0, 6, 0, 4, 0, 0, 1, 'a', 0xff, 1, 0, 0), "a"},
		"another kind of name":  {made(0, 0, 0, 10, 0, 8, 9, 0, 1, 'x', 0, 0, 1, 'a'), "a"},
	} {
		if h, err := Parse(c.hello); err != nil || string(h.Name()) != c.want {
			t.Errorf("%s: %q, %v", name, h.Name(), err)
		}
	}
}

// What is read does not depend on how it comes, and a name is one that was sent.
func FuzzParse(f *testing.F) {
	for _, cfg := range []*tls.Config{{ServerName: "www.example.com", NextProtos: []string{"h2", "http/1.1"}}, {MaxVersion: tls.VersionTLS12},
		{ServerName: "secret.example.com", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echList(f, "public.example.net")}} {
		hello := helloOf(f, cfg)
		f.Add(hello)
		f.Add(inRecords(hello, 7))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		if err != nil {
			if h.name != nil || h.protocols != nil {
				t.Errorf("%x: %q with %v", b, h, err)
			}
			return
		}
		if !bytes.Contains(b, h.name) && len(b) < 2*recordHead+len(h.name) || len(h.name) > nameMost {
			t.Errorf("%x: the name is %q", b, h.name)
		}
		// As few as it takes: what is short stays so when it is shorter.
		n := sort.Search(len(b), func(n int) bool { return parses(b[:n]) })
		for short := n - 1; short >= 0; short -= 1 + short/16 {
			if _, err := Parse(b[:short]); err != ErrShort {
				t.Fatalf("%x: %v with %d octets of %d", b, err, short, n)
			}
		}
		if again, err := Parse(b[:n]); err != nil || !bytes.Equal(again.name, h.name) {
			t.Errorf("%x: %q, %v with what it needs alone", b, again.name, err)
		}
	})
}

func parses(b []byte) bool {
	_, err := Parse(b)
	return err == nil
}
