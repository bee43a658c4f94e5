package nft

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
)

// track is one entry of the kernel's connection table, as far as it matters here.
type track struct {
	protocol uint8
	client   netip.AddrPort // source of the original direction
	virtual  netip.AddrPort // destination of the original direction
	server   netip.AddrPort // source of the reply direction
	source   netip.AddrPort // destination of the reply direction
	state    uint8          // of TCP: TCP_CONNTRACK_… of nf_conntrack_tcp.h
	expires  time.Duration
	up, down int64  // bytes, where nf_conntrack_acct is on
	original []byte // attribute CTA_TUPLE_ORIG: its name for the kernel
}

// States of TCP: a server that has not answered, and those that mean that both ends are done.
const (
	tcpSynSent  = 1
	tcpTimeWait = 7
	tcpClose    = 8
)

var tcpStates = []string{"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"}

// open tells whether the connection goes on.
func (t *track) open() bool {
	return t.protocol != kernel.TCP || t.state != tcpTimeWait && t.state != tcpClose
}

// unanswered tells whether it is a connect that the server has not answered.
func (t *track) unanswered() bool { return t.protocol == kernel.TCP && t.state == tcpSynSent }

func (t *track) stateName() string {
	if t.protocol == kernel.TCP && int(t.state) < len(tcpStates) {
		return tcpStates[t.state]
	}
	return ""
}

// Attributes of linux/netfilter/nfnetlink_conntrack.h.
const (
	ctGet, ctDelete = 1, 2 // IPCTNL_MSG_CT_*

	ctaTupleOrig, ctaTupleReply, ctaProtoInfo      = 1, 2, 4
	ctaTimeout, ctaCountersOrig, ctaCountersReply  = 7, 9, 10
	ctaTupleIP, ctaTupleProto                      = 1, 2
	ctaIPv4Src, ctaIPv4Dst, ctaIPv6Src, ctaIPv6Dst = 1, 2, 3, 4
	ctaProtoNum, ctaProtoSrcPort, ctaProtoDstPort  = 1, 2, 3
	ctaProtoInfoTCP, ctaProtoInfoTCPState          = 1, 1
	ctaCountersBytes                               = 2
)

// request makes a message to the connection table of one family.
func request(kind, flags int, family uint8) *nl.NetlinkRequest {
	r := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_CTNETLINK<<8|kind, flags)
	r.AddData(&nl.Nfgenmsg{NfgenFamily: family, Version: nl.NFNETLINK_V0})
	return r
}

// tracks tells all connections of TCP and UDP of one family, one by one: the table
// may be large, and is not held in memory. It ends when yield reports false.
func tracks(family uint8, yield func(*track) bool) error {
	var t track
	r := request(ctGet, unix.NLM_F_DUMP, family)
	err := r.ExecuteIter(unix.NETLINK_NETFILTER, 0, func(m []byte) bool {
		if len(m) < 4 || !t.parse(m[4:]) {
			return true
		}
		return yield(&t)
	})
	if errors.Is(err, nl.ErrDumpInterrupted) {
		return nil // entries came and went meanwhile: as they do
	}
	return err
}

// forget deletes an entry. That it is gone already is no error.
func (t *track) forget(family uint8) error {
	r := request(ctDelete, unix.NLM_F_ACK, family)
	r.AddRawData(t.original)
	_, err := r.Execute(unix.NETLINK_NETFILTER, 0)
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

// attributes calls see for each attribute in b.
func attributes(b []byte, see func(kind uint16, value, whole []byte)) {
	for len(b) >= 4 {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		end := min((n+3)&^3, len(b))
		see(kind, b[4:n], b[:end])
		b = b[end:]
	}
}

// parse reads an entry, and reports false if it is of no interest.
func (t *track) parse(b []byte) bool {
	*t = track{original: t.original[:0]}
	attributes(b, func(kind uint16, value, whole []byte) {
		switch kind {
		case ctaTupleOrig:
			t.client, t.virtual = t.tuple(value)
			t.original = append(t.original, whole...)
		case ctaTupleReply:
			t.server, t.source = t.tuple(value)
		case ctaTimeout:
			if len(value) >= 4 {
				t.expires = time.Duration(binary.BigEndian.Uint32(value)) * time.Second
			}
		case ctaCountersOrig:
			t.up = byteCount(value)
		case ctaCountersReply:
			t.down = byteCount(value)
		case ctaProtoInfo:
			attributes(value, func(kind uint16, value, _ []byte) {
				if kind == ctaProtoInfoTCP {
					attributes(value, func(kind uint16, value, _ []byte) {
						if kind == ctaProtoInfoTCPState && len(value) > 0 {
							t.state = value[0]
						}
					})
				}
			})
		}
	})
	return t.protocol == kernel.TCP || t.protocol == kernel.UDP
}

func byteCount(b []byte) (bytes int64) {
	attributes(b, func(kind uint16, value, _ []byte) {
		if kind == ctaCountersBytes && len(value) >= 8 {
			bytes = int64(binary.BigEndian.Uint64(value))
		}
	})
	return bytes
}

// tuple reads the ends of one direction, and the protocol.
func (t *track) tuple(b []byte) (src, dst netip.AddrPort) {
	var from, to netip.Addr
	var ports [2]uint16
	attributes(b, func(kind uint16, value, _ []byte) {
		attributes(value, func(part uint16, value, _ []byte) {
			switch {
			case kind == ctaTupleIP && (part == ctaIPv4Src || part == ctaIPv6Src):
				from, _ = netip.AddrFromSlice(value)
			case kind == ctaTupleIP && (part == ctaIPv4Dst || part == ctaIPv6Dst):
				to, _ = netip.AddrFromSlice(value)
			case kind == ctaTupleProto && part == ctaProtoNum && len(value) > 0:
				t.protocol = value[0]
			case kind == ctaTupleProto && (part == ctaProtoSrcPort || part == ctaProtoDstPort) && len(value) >= 2:
				ports[part-ctaProtoSrcPort] = binary.BigEndian.Uint16(value)
			}
		})
	})
	return netip.AddrPortFrom(from, ports[0]), netip.AddrPortFrom(to, ports[1])
}
