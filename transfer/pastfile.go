package transfer

import (
	"encoding/binary"
	"net/netip"

	"gslb/zones"
)

// The file of past:
//
//	snapshot   32 octets: 0; then the records of a version; of a large zone none
//	change     as in a journal
//	mark       digest of the snapshot before it, u32 its serial number
//	standins   records; such lists are numbered from 0
//	sent       u8 length, address, u8 length, name of the key, u32 serial number, u8 unclear, u32 number of a list
const (
	pastMagic    = "gslb past 1\n"
	kindMark     = 3
	kindStandIns = 4
	kindSent     = 5
)

// pastContent is what the file says.
type pastContent struct {
	content
	end    sum
	serial uint32
	marked bool // end and serial are known
	lists  [][]zones.RR
	box    outbox
}

func (c *pastContent) take(payload []byte) error {
	body := payload[1:]
	switch payload[0] {
	case kindMark:
		if len(body) != len(c.source)+4 {
			return errEntry
		}
		c.end, c.serial, c.marked = sumFrom(body), binary.BigEndian.Uint32(body[len(c.source):]), true
		return nil
	case kindStandIns:
		list, err := readRecords(body, -1)
		if err == nil {
			c.lists = append(c.lists, list)
		}
		return err
	case kindSent:
		return c.takeSent(body)
	}
	if err := c.content.take(payload); err != nil {
		return err
	}
	if payload[0] == kindSnapshot {
		c.marked = false
	} else if last := c.changes[len(c.changes)-1]; c.marked {
		c.end.change(last)
		c.serial = last.to()
	}
	return nil
}

func (c *pastContent) takeSent(b []byte) error {
	var part [2][]byte
	for i := range part {
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return errEntry
		}
		part[i], b = b[1:1+int(b[0])], b[1+int(b[0]):]
	}
	if len(b) != 9 {
		return errEntry
	}
	list := binary.BigEndian.Uint32(b[5:])
	address, ok := netip.AddrFromSlice(part[0])
	if !ok || list >= uint32(len(c.lists)) {
		return errEntry
	}
	c.box.put(peerOf{address, string(part[1])}, sentView{serial: binary.BigEndian.Uint32(b), standIns: c.lists[list], unclear: b[4] != 0})
	return nil
}

func sentEntry(to peerOf, v sentView, list uint32) []byte {
	a := to.address.AsSlice()
	b := append(make([]byte, entryHead, 64), kindSent, byte(len(a)))
	b = append(b, a...)
	b = append(b, byte(len(to.key)))
	b = append(b, to.key...)
	b = binary.BigEndian.AppendUint32(b, v.serial)
	unclear := byte(0)
	if v.unclear {
		unclear = 1
	}
	return entry(binary.BigEndian.AppendUint32(append(b, unclear), list))
}

func standInsEntry(list []zones.RR) []byte {
	b := append(make([]byte, entryHead, 256), kindStandIns)
	for _, r := range list {
		b = appendRecord(b, r)
	}
	return entry(b)
}

func markEntry(s sum, serial uint32) []byte {
	d := s.bytes()
	b := append(append(make([]byte, entryHead, 64), kindMark), d[:]...)
	return entry(binary.BigEndian.AppendUint32(b, serial))
}
