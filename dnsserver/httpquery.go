package dnsserver

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Header fields, as all answers have them. Nobody changes them.
var messageType = []string{dnsMessage}

// ServeHTTP answers a query (RFC 8484, section 4.1). Transfers, updates and what is
// signed are not for it.
func (h *web) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v, _ := r.Context().Value(visitorKey{}).(*visitor)
	if v.quic != nil {
		if !v.quic.enter() {
			return
		}
		defer v.quic.leave()
		h.bound(w)
	}
	header := w.Header()
	if h.altSvc != nil {
		header["Alt-Svc"] = h.altSvc
	}
	if r.URL.Path != h.path {
		http.NotFound(w, r)
		return
	}
	b := h.s.streamBuffers()
	defer h.s.giveBuffers(b)
	msg, code := httpMessage(w, r, &b.in)
	if code != http.StatusOK {
		http.Error(w, http.StatusText(code), code)
		return
	}
	b.w.encrypted, b.w.others = true, false
	b.w.count.queries[v.transport].Add(1)
	reply := h.s.answer(b.w, msg, v.source(), true, b.out[:0:maxMessage+maxRecordHead])
	b.w.publish()
	if len(reply) == 0 { // not a query, or a client that gets no answer
		http.Error(w, http.StatusText(http.StatusBadRequest), http.StatusBadRequest)
		return
	}
	header["Content-Type"] = messageType
	who := "max-age="
	if b.w.scope > 0 { // other clients get another answer to the same URL: no cache that they share may have it (RFC 9111, section 5.2.2.7)
		who = "private, max-age="
	}
	header["Cache-Control"] = []string{who + strconv.FormatUint(uint64(leastTTL(reply)), 10)}
	header["Content-Length"] = []string{strconv.Itoa(len(reply))}
	_, _ = w.Write(reply) // fails only when the client is gone
}

// bound bounds how long a client may take for a request over HTTP/3, which has no
// times of its own for that.
func (h *web) bound(w http.ResponseWriter) {
	end := time.Now().Add(h.s.cfg.TCPIdle)
	if d, ok := w.(interface {
		SetReadDeadline(time.Time) error
		SetWriteDeadline(time.Time) error
	}); ok {
		d.SetReadDeadline(end)
		d.SetWriteDeadline(end)
	}
}

// httpMessage takes the message out of a request, or gives the status to refuse it
// with. It lies in buf.
func httpMessage(w http.ResponseWriter, r *http.Request, buf *[]byte) ([]byte, int) {
	switch r.Method {
	case http.MethodGet:
		text := dnsParameter(r.URL)
		if text == "" {
			return nil, http.StatusBadRequest
		}
		msg, err := base64.RawURLEncoding.AppendDecode((*buf)[:0], []byte(text))
		if err != nil {
			return nil, http.StatusBadRequest
		}
		return msg, http.StatusOK
	case http.MethodPost:
		if !isMessageType(r.Header.Get("Content-Type")) {
			return nil, http.StatusUnsupportedMediaType
		}
		msg, err := readBody(http.MaxBytesReader(w, r.Body, maxMessage), buf)
		var long *http.MaxBytesError
		switch {
		case errors.As(err, &long):
			return nil, http.StatusRequestEntityTooLarge
		case err != nil || len(msg) == 0:
			return nil, http.StatusBadRequest
		}
		return msg, http.StatusOK
	}
	w.Header().Set("Allow", "GET, POST")
	return nil, http.StatusMethodNotAllowed
}

// isMessageType tells whether a field says that a body is a DNS message: in letters of
// either case, with or without parameters (RFC 9110, section 8.3.1).
func isMessageType(field string) bool {
	if field == dnsMessage {
		return true
	}
	kind, _, _ := strings.Cut(field, ";")
	return strings.EqualFold(strings.TrimSpace(kind), dnsMessage)
}

// dnsParameter gives the parameter "dns" of a request; "" for none.
func dnsParameter(u *url.URL) string {
	if strings.ContainsAny(u.RawQuery, "%+;") { // base64url has none of these: it costs more, and hardly ever comes
		return u.Query().Get("dns")
	}
	for part := range strings.SplitSeq(u.RawQuery, "&") {
		if text, ok := strings.CutPrefix(part, "dns="); ok {
			return text
		}
	}
	return ""
}

// readBody reads all of a body into a buffer, which grows with it.
func readBody(r io.Reader, buf *[]byte) ([]byte, error) {
	in := (*buf)[:0]
	for {
		if len(in) == cap(in) {
			in = append(in, 0)[:len(in)]
			*buf = in[:cap(in)]
		}
		n, err := r.Read(in[len(in):cap(in)])
		in = in[:len(in)+n]
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return in, err
		}
	}
}

// leastTTL is for how long an HTTP cache may keep an answer, in seconds (RFC 8484,
// section 5.1): the least TTL of its answer, or what its SOA says of negatives.
func leastTTL(reply []byte) uint32 {
	rcode := reply[3] & 0xf
	answers, authority := int(binary.BigEndian.Uint16(reply[6:])), int(binary.BigEndian.Uint16(reply[8:]))
	if rcode != dns.RcodeSuccess && rcode != dns.RcodeNameError {
		return 0
	}
	off := headerLen
	for range binary.BigEndian.Uint16(reply[4:]) {
		off = nameEnd(reply, off) + 4
	}
	least, any := uint32(0), false
	take := func(ttl uint32) {
		if !any || ttl < least {
			least, any = ttl, true
		}
	}
	for i := range answers + authority {
		rrtype, end := skipRecord(reply, off)
		if end < 0 {
			return 0 // never of what this server makes
		}
		take(binary.BigEndian.Uint32(reply[nameEnd(reply, off)+4:]))
		if i >= answers && answers == 0 && rrtype == dns.TypeSOA {
			take(binary.BigEndian.Uint32(reply[end-4:])) // MINIMUM is its last field
		}
		off = end
	}
	return least
}

// nameEnd is where a name ends that is known to be whole.
func nameEnd(msg []byte, off int) int {
	for msg[off] != 0 {
		if msg[off] >= 0xc0 {
			return off + 2
		}
		off += 1 + int(msg[off])
	}
	return off + 1
}
