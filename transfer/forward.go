package transfer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"
)

const (
	// maxForwards bounds the updates that are with a primary at one time. Where two
	// servers take each other for the primary it ends their ring, too: RFC 2136 has no
	// count of hops. maxForwardsUDP is for those that came over UDP, where others wait behind
	// them: less than the server answers at a time (dnsserver.DatagramWorkers).
	maxForwards    = 64
	maxForwardsUDP = 16
	// forwardWait is how long a primary may take to make an update.
	forwardWait = 20 * time.Second
)

// forwards tells whether an update is to be passed on to the zone's primary (RFC 2136,
// section 6). Its key may be one that the primary alone knows: then who may send it is
// told by the network.
func (m *Manager) forwards(st *state, r *request) bool {
	if r.opcode != dns.OpcodeUpdate {
		return false
	}
	z := r.zoneOf(st)
	return z != nil && allowed(z.set.Load().forward, r.from.Addr(), r.session.key, private(r.tls))
}

// forward passes an update on, signature and all, and the answer back.
func (m *Manager) forward(z *zone, r *request) {
	places := m.forwarding
	if !r.stream {
		places = m.forwardingUDP
	}
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		m.forwardNow(z, r)
	default:
		m.refused(r, "an update is not passed on", "zone", z.name, "from", r.from, "why", fmt.Sprintf("%d are on their way already", cap(places)))
		r.answer(dns.RcodeServerFailure)
	}
}

func (m *Manager) forwardNow(z *zone, r *request) {
	reply, p, err := z.relay(r.ctx, r.msg)
	if err != nil {
		z.count.updatesRefused.Add(1)
		m.refused(r, "an update is not passed on", "zone", z.name, "from", r.from, "why", err)
		r.answer(dns.RcodeServerFailure)
		return
	}
	rcode := reply[3] & 0xf
	if rcode == dns.RcodeSuccess {
		z.count.updatesForwarded.Add(1)
		m.log.Info("passed on an update", "zone", z.name, "from", r.from, "to", p)
		z.wake()
	} else {
		z.count.updatesRefused.Add(1)
		m.refused(r, "the primary refuses an update that was passed on", "zone", z.name, "from", r.from, "to", p, "code", rcodeName(rcode))
	}
	if limit := min(max(512, r.udpSize), 1232); !r.stream && len(reply) > limit {
		r.answer(int(rcode)) // what happened is said, though not by the primary's signature
		return
	}
	r.send(reply)
}

// relay sends a message to the first primary that takes a connection, and gives the answer
// as it came, with the ID that the message has. Once the message may have arrived nobody
// else is asked: an update is to be made once.
func (z *zone) relay(ctx context.Context, msg []byte) (reply []byte, p peer, err error) {
	out := slices.Clone(msg)
	binary.BigEndian.PutUint16(out, newID())
	var errs []error
	for _, p := range z.updated() {
		conn, err := p.connect(ctx)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p, err))
			continue
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
		conn.SetDeadline(time.Now().Add(forwardWait))
		if err = writeTCP(conn, out); err == nil {
			reply, err = readTCP(bufio.NewReader(conn), nil)
		}
		if err == nil && (len(reply) < 12 || !bytes.Equal(reply[:2], out[:2]) || reply[2]&0xf8 != 0x80|dns.OpcodeUpdate<<3) {
			err = errors.New("it does not answer what was asked")
		}
		if err != nil {
			return nil, p, fmt.Errorf("%s: %w", p, bare(err))
		}
		copy(reply, msg[:2])
		return reply, p, nil
	}
	return nil, p, errors.Join(errs...)
}

// updated are the primaries in the order in which they are offered an update: first the
// one that the copy comes from.
func (z *zone) updated() []peer {
	all := z.set.Load().primaries
	if from := z.primary.Load(); from != nil {
		return startingWith(all, addrOf(*from))
	}
	return all
}
