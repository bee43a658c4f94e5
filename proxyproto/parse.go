package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strconv"
)

// Header is what a header says. Without a valid Client the front end speaks for
// itself, or does not say for whom: its own addresses count.
type Header struct {
	Client netip.AddrPort
	Local  netip.AddrPort // where the client connected to
}

var (
	// ErrShort is that there may be a header, but not all of it is there.
	ErrShort = errors.New("the PROXY header is not complete")
	// ErrHeader is that there is no header, or none that can be believed.
	ErrHeader = errors.New("no good PROXY header")
)

// Head is how many octets a header of version 2 has before its addresses.
const Head = len(Signature) + 4

// Length is how many octets the header of version 2 has that begins with b; 0 when it
// is none, or fewer than Head octets are there.
func Length(b []byte) int {
	if len(b) < Head || string(b[:len(Signature)]) != Signature || b[12]>>4 != 2 {
		return 0
	}
	return Head + int(binary.BigEndian.Uint16(b[14:]))
}

// Parse reads the header, of either version, that b begins with, and returns how many
// octets it has. With ErrShort, which it gives only for what may become a good header
// of at most most octets, it is to be asked again when there are more.
func Parse(b []byte, most int) (Header, int, error) {
	if bytes.HasPrefix(b, []byte("P")) {
		return parseLine(b)
	}
	n := min(len(b), len(Signature))
	if string(b[:n]) != Signature[:n] || len(b) > 12 && b[12]>>4 != 2 {
		return Header{}, 0, ErrHeader
	}
	if len(b) < Head {
		return Header{}, 0, ErrShort
	}
	if n = Length(b); n > most {
		return Header{}, 0, ErrHeader
	}
	if len(b) < n {
		return Header{}, 0, ErrShort
	}
	return ParseV2(b)
}

// ParseV2 reads the whole header of version 2 that b begins with. Section 2.2.
func ParseV2(b []byte) (Header, int, error) {
	n := Length(b)
	if n == 0 || n > len(b) {
		return Header{}, 0, ErrHeader
	}
	addresses := b[Head:n]
	command, family := b[12]&0xf, b[13]>>4
	if command > 1 || b[13]&0xf > 2 {
		return Header{}, 0, ErrHeader
	}
	var h Header
	var size int
	switch {
	case command == 0: // LOCAL: what follows is to be skipped
		return h, n, nil
	case family == 0: // UNSPEC
	case family == 1 && len(addresses) >= 12:
		size = 12
		h.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte(addresses)), binary.BigEndian.Uint16(addresses[8:]))
		h.Local = netip.AddrPortFrom(netip.AddrFrom4([4]byte(addresses[4:])), binary.BigEndian.Uint16(addresses[10:]))
	case family == 2 && len(addresses) >= 36:
		size = 36
		h.Client = netip.AddrPortFrom(netip.AddrFrom16([16]byte(addresses)).Unmap(), binary.BigEndian.Uint16(addresses[32:]))
		h.Local = netip.AddrPortFrom(netip.AddrFrom16([16]byte(addresses[16:])).Unmap(), binary.BigEndian.Uint16(addresses[34:]))
	default:
		return h, 0, ErrHeader
	}
	if family != 0 && !intact(b[:n], Head+size) {
		return Header{}, 0, ErrHeader
	}
	return h, n, nil
}

// intact tells whether the checksum is right that a header may have among the TLVs
// which begin at from (section 2.2.3). TLVs that do not fit are somebody's fault, but
// the addresses before them are good.
func intact(header []byte, from int) bool {
	const typeCRC32C = 0x03
	for at := from; at+3 <= len(header); {
		size := int(binary.BigEndian.Uint16(header[at+1:]))
		value := at + 3
		if value+size > len(header) {
			return true
		}
		if header[at] == typeCRC32C {
			return size == 4 && checksum(header, value) == binary.BigEndian.Uint32(header[value:])
		}
		at = value + size
	}
	return true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is that of a header, with zeros in place of itself at.
func checksum(header []byte, at int) uint32 {
	var zeros [4]byte
	sum := crc32.Update(0, castagnoli, header[:at])
	sum = crc32.Update(sum, castagnoli, zeros[:])
	return crc32.Update(sum, castagnoli, header[at+4:])
}

// parseLine reads a header of version 1. Section 2.1: one space between the words, and
// no other form of an address or a port than the usual one.
func parseLine(b []byte) (Header, int, error) {
	const begin = "PROXY "
	n := min(len(b), len(begin))
	if string(b[:n]) != begin[:n] {
		return Header{}, 0, ErrHeader
	}
	end := bytes.Index(b[:min(len(b), MostLine)], []byte("\r\n"))
	if end < 0 {
		if len(b) >= MostLine {
			return Header{}, 0, ErrHeader
		}
		return Header{}, 0, ErrShort
	}
	words := bytes.Split(b[len(begin):end], []byte(" "))
	family := string(words[0])
	if family == "UNKNOWN" {
		return Header{}, end + 2, nil // the rest of the line must be ignored
	}
	if len(words) != 5 || family != "TCP4" && family != "TCP6" {
		return Header{}, 0, ErrHeader
	}
	client, ok1 := address(words[1], words[3], family == "TCP4")
	local, ok2 := address(words[2], words[4], family == "TCP4")
	if !ok1 || !ok2 {
		return Header{}, 0, ErrHeader
	}
	return Header{client, local}, end + 2, nil
}

func address(host, port []byte, four bool) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(string(host))
	p, err2 := strconv.ParseUint(string(port), 10, 16)
	if err != nil || err2 != nil || a.Is4() != four || a.Zone() != "" || port[0] == '0' && len(port) > 1 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), true
}
