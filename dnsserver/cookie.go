package dnsserver

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"github.com/miekg/dns"
)

const (
	clientCookieLen = 8  // octets, RFC 7873, section 4.1
	serverCookieLen = 16 // octets, RFC 9018, section 4
	leastServer     = 8  // octets that a server cookie may have, whoever made it
	mostServer      = 32

	// How long a server cookie is good for, in seconds, and when a client is given
	// a new one though its own is still good (RFC 9018, section 4.3).
	cookieLife   = 3600
	cookieRenew  = 1800
	cookieFuture = 300

	// maxSecrets is how many server secrets can be in use: the one that cookies are
	// made with, and those before and after it.
	maxSecrets = 8
)

// Words of Config.Cookies.
const (
	cookiesOff      = "off"
	cookiesOn       = "on"
	cookiesRequired = "required"
)

// Secrets are what server cookies are made with and known again by (RFC 9018):
// the first makes them, all of them are believed, so that a fleet can go from one
// to the next (section 5). They never change.
type Secrets struct{ keys [][16]byte }

// ReadSecrets reads server secrets from a file: one a line, as 32 hexadecimal
// digits, which is what BIND's and Knot DNS's cookie-secret take and what NSD's
// cookie-secret-file holds. The first is in use; others are accepted. Empty lines
// and what follows a "#" do not count.
func ReadSecrets(path string) (*Secrets, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("%s: cannot read the cookie secrets: %w", path, err)
	}
	s := new(Secrets)
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		key, err := hex.DecodeString(text)
		if err != nil || len(key) != 16 { // the text is a secret: not to be shown
			return nil, fmt.Errorf("%s:%d: must be a cookie secret of 32 hexadecimal digits, such as `openssl rand -hex 16` makes", path, n)
		}
		s.keys = append(s.keys, [16]byte(key))
	}
	switch {
	case lines.Err() != nil:
		return nil, fmt.Errorf("%s: cannot read the cookie secrets: %w", path, lines.Err())
	case len(s.keys) == 0:
		return nil, fmt.Errorf("%s: has no cookie secret: must have one a line, 32 hexadecimal digits each", path)
	case len(s.keys) > maxSecrets:
		return nil, fmt.Errorf("%s: has %d cookie secrets: at most %d", path, len(s.keys), maxSecrets)
	}
	return s, nil
}

// randomSecrets are a secret that nobody knows, followed by the newest of before.
func randomSecrets(before *Secrets) *Secrets {
	s := &Secrets{keys: make([][16]byte, 1, 2)}
	rand.Read(s.keys[0][:]) // never fails
	if before != nil {
		s.keys = append(s.keys, before.keys[0])
	}
	return s
}

// cookieHash is the hash of a server cookie (RFC 9018, section 4.4): over the
// client cookie, what comes before the hash, and the client's address.
func cookieHash(key *[16]byte, client, head []byte, a netip.Addr) uint64 {
	var b [clientCookieLen + 8 + 16]byte
	n := copy(b[:], client[:clientCookieLen])
	n += copy(b[n:], head[:8])
	if a.Is4() {
		four := a.As4()
		n += copy(b[n:], four[:])
	} else {
		sixteen := a.As16()
		n += copy(b[n:], sixteen[:])
	}
	return siphash24(key, b[:n])
}

// good tells whether a COOKIE option holds a server cookie that this server, or
// one that shares its secrets, gave to the client at an address, and whether a new
// one is due. All fields but the hash are the reader's to judge:
//
//	another length or version                     bad
//	older than an hour, or 5 minutes ahead        bad
//	the hash is not that of any secret            bad
//	older than half an hour, or of an old secret  good, and due
func (s *Secrets) good(option []byte, a netip.Addr, now uint32) (good, due bool) {
	if len(option) != clientCookieLen+serverCookieLen || option[8] != 1 {
		return false, true
	}
	client, server := option[:clientCookieLen], option[clientCookieLen:]
	age := int32(now - binary.BigEndian.Uint32(server[4:])) // RFC 1982: serial numbers
	if age > cookieLife || age < -cookieFuture {
		return false, true
	}
	given := binary.LittleEndian.Uint64(server[8:])
	for i := range s.keys {
		// A difference in time would tell only how the whole hash compares, of a
		// MAC that is 64 bits in one word.
		if cookieHash(&s.keys[i], client, server, a) == given {
			return true, i > 0 || age > cookieRenew
		}
	}
	return false, true
}

// appendCookie adds the server cookie for a client.
func (s *Secrets) appendCookie(out, client []byte, a netip.Addr, now uint32) []byte {
	head := [8]byte{0: 1}
	binary.BigEndian.PutUint32(head[4:], now)
	out = append(out, head[:]...)
	return binary.LittleEndian.AppendUint64(out, cookieHash(&s.keys[0], client, head[:], a))
}

// appendCookieOption adds the COOKIE option of an answer (RFC 7873, section 5.2):
// the client's cookie, and its own server cookie while that is fresh.
func (w *responder) appendCookieOption(out []byte) []byte {
	c := w.q.EDNS.Cookie
	out = append(out, 0, dns.EDNS0COOKIE, 0, clientCookieLen+serverCookieLen)
	if !w.opt.due {
		return append(out, c...)
	}
	out = append(out, c[:clientCookieLen]...)
	return w.secrets.Load().appendCookie(out, c, w.from, w.seconds.Load())
}
