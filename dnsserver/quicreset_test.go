package dnsserver

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net"
	"net/netip"
	"testing"
	"time"
)

// TestStatelessReset: a packet of a connection that is not known, as after a restart,
// is answered with a stateless reset (RFC 9000, section 10.3), whose token follows
// from the certificate's key and the address alone.
func TestStatelessReset(t *testing.T) {
	s := startQUIC(t, nil)
	at := s.QUICAddrs()[0]
	key := resetKey(s.cfg.QUIC.Key, at)
	if key == nil {
		t.Fatal("no key")
	}
	other := resetKey(s.cfg.QUIC.Key, netip.AddrPortFrom(at.Addr(), at.Port()^1))
	if again := resetKey(s.cfg.QUIC.Key, at); *again != *key || *other == *key {
		t.Error("the key does not follow from the address")
	}
	if resetKey("/nowhere", at) != nil {
		t.Error("a key of nothing")
	}
	c, err := net.Dial("udp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	packet := make([]byte, 200) // of the short header, with an ID of 4 octets
	rand.Read(packet)
	packet[0] = packet[0]&0x3f | 0x40
	token := hmac.New(sha256.New, key[:])
	token.Write(packet[1:5])
	answer := make([]byte, 1500)
	c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(packet); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(answer)
	if err != nil {
		t.Fatal(err)
	}
	if want := token.Sum(nil)[:16]; n >= len(packet) || n < 21 || !bytes.Equal(answer[n-16:n], want) {
		t.Errorf("%d octets: %x, want %x at the end", n, answer[:n], want)
	}
}
