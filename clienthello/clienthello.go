// Package clienthello reads what a TLS client says first, before anything is
// encrypted: for which server name it comes, and which protocols it speaks (RFC
// 8446 section 4.1.2, RFC 6066 section 3, RFC 7301). It decrypts nothing, keeps
// nothing and does no I/O.
//
// With Encrypted Client Hello (RFC 9849) what is read is the outer ClientHello,
// whose name is that of the client-facing server: the inner one is nobody's to
// read but that server's.
package clienthello

import (
	"encoding/binary"
	"errors"
	"iter"
)

var (
	// ErrShort is that this may become a ClientHello, but not all of it is there.
	ErrShort = errors.New("the ClientHello is not complete")
	// ErrNotTLS is that it is none.
	ErrNotTLS = errors.New("no TLS ClientHello")
)

// Hello is what is read of a ClientHello. It points into what was parsed.
type Hello struct {
	name      []byte
	protocols []byte // ProtocolNameList without its length
}

// Name is the server name as it was sent; empty: none was.
func (h Hello) Name() []byte { return h.name }

// Protocols are the protocols that the client offers (ALPN), the preferred first.
func (h Hello) Protocols() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for in := input(h.protocols); len(in) > 0; {
			if p, ok := in.vector(1); !ok || !yield(p) {
				return
			}
		}
	}
}

const (
	recordHead      = 5
	recordMost      = 1 << 14 // octets of a plaintext record: RFC 8446 section 5.1
	typeHandshake   = 22
	typeClientHello = 1
	handshakeHead   = 4

	extensionServerName = 0
	extensionALPN       = 16
	hostName            = 0
	nameMost            = 255 // of a DNS name
)

// Parse reads the ClientHello that b begins with, be it in one record or in several
// (RFC 8446 section 5.1). With ErrShort it is to be asked again when there is more.
func Parse(b []byte) (Hello, error) {
	message, err := handshake(b)
	if err != nil {
		return Hello{}, err
	}
	return parse(message)
}

// handshake returns the first handshake message in the records that b begins with.
func handshake(b []byte) ([]byte, error) {
	var joined []byte // of the records before, if the message is in several
	for need := handshakeHead; ; {
		if !begins(b, len(joined) == 0) {
			return nil, ErrNotTLS
		}
		if len(b) < recordHead {
			return nil, ErrShort
		}
		size := int(binary.BigEndian.Uint16(b[3:]))
		if size == 0 || size > recordMost { // an empty one must not be sent
			return nil, ErrNotTLS
		}
		part := b[recordHead:min(len(b), recordHead+size)]
		whole := part
		if len(joined) > 0 {
			joined = append(joined, part...)
			whole = joined
		}
		if len(whole) > 0 && whole[0] != typeClientHello {
			return nil, ErrNotTLS
		}
		if len(whole) >= handshakeHead {
			need = handshakeHead + (int(whole[1])<<16 | int(whole[2])<<8 | int(whole[3]))
		}
		if len(whole) >= need {
			return whole[handshakeHead:need], nil
		}
		if len(part) < size {
			return nil, ErrShort
		}
		if len(joined) == 0 {
			joined = append(make([]byte, 0, 2*len(part)), part...)
		}
		b = b[recordHead+size:]
	}
}

// begins tells whether b may be the beginning of a record of a handshake. The version
// of the record means nothing but that it is 3.x.
func begins(b []byte, first bool) bool {
	if len(b) > 0 && b[0] != typeHandshake || len(b) > 1 && b[1] != 3 || len(b) > 2 && b[2] > 4 {
		return false
	}
	return !first || len(b) <= recordHead || b[recordHead] == typeClientHello
}

// input is octets that are still to be read.
type input []byte

// take reads n octets.
func (in *input) take(n int) ([]byte, bool) {
	if n > len(*in) {
		return nil, false
	}
	out := (*in)[:n]
	*in = (*in)[n:]
	return out, true
}

// number reads a number of n octets.
func (in *input) number(n int) (v int, ok bool) {
	b, ok := in.take(n)
	for _, x := range b {
		v = v<<8 | int(x)
	}
	return v, ok
}

// vector reads what has its length before it, in n octets.
func (in *input) vector(n int) ([]byte, bool) {
	size, ok := in.number(n)
	if !ok {
		return nil, false
	}
	return in.take(size)
}

// parse reads the body of a ClientHello.
func parse(message []byte) (h Hello, err error) {
	in := input(message)
	_, ok1 := in.take(2 + 32) // legacy_version, random
	session, ok2 := in.vector(1)
	suites, ok3 := in.vector(2)
	methods, ok4 := in.vector(1)
	if !(ok1 && ok2 && ok3 && ok4) || len(session) > 32 || len(suites) < 2 || len(suites)%2 != 0 || len(methods) == 0 {
		return Hello{}, ErrNotTLS
	}
	if len(in) == 0 { // before TLS 1.3 there may be no extensions
		return Hello{}, nil
	}
	extensions, ok := in.vector(2)
	if !ok || len(in) != 0 {
		return Hello{}, ErrNotTLS
	}
	seen := map[int]bool{}
	for in = extensions; len(in) > 0; {
		kind, ok1 := in.number(2)
		data, ok2 := in.vector(2)
		if !ok1 || !ok2 {
			return Hello{}, ErrNotTLS
		}
		if kind != extensionServerName && kind != extensionALPN {
			continue
		}
		if seen[kind] { // each once: RFC 8446 section 4.2
			return Hello{}, ErrNotTLS
		}
		seen[kind] = true
		if kind == extensionServerName {
			h.name, ok = serverName(data)
		} else {
			h.protocols, ok = protocols(data)
		}
		if !ok {
			return Hello{}, ErrNotTLS
		}
	}
	return h, nil
}

// serverName reads the host name of a ServerNameList. RFC 6066 section 3: no more than
// one of a kind.
func serverName(b []byte) (name []byte, ok bool) {
	in := input(b)
	list, ok := in.vector(2)
	if !ok || len(in) != 0 || len(list) == 0 {
		return nil, false
	}
	for in = list; len(in) > 0; {
		kind, ok1 := in.number(1)
		value, ok2 := in.vector(2)
		if !ok1 || !ok2 || len(value) == 0 || kind == hostName && (name != nil || len(value) > nameMost) {
			return nil, false
		}
		if kind == hostName {
			name = value
		}
	}
	return name, true
}

// protocols reads a ProtocolNameList (RFC 7301 section 3.1).
func protocols(b []byte) ([]byte, bool) {
	in := input(b)
	list, ok := in.vector(2)
	if !ok || len(in) != 0 || len(list) == 0 {
		return nil, false
	}
	for in = list; len(in) > 0; {
		if p, ok := in.vector(1); !ok || len(p) == 0 {
			return nil, false
		}
	}
	return list, true
}
