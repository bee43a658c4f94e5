package transfer

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/miekg/dns"

	"gslb/durable"
	"gslb/parallel"
	"gslb/zones"
)

const (
	// askWait bounds how long a primary may take to answer over UDP, and to take a
	// connection.
	askWait = 3 * time.Second
	// transferWait bounds how long a primary may be silent in a transfer.
	transferWait = 30 * time.Second
	// transferMost bounds a whole transfer, of a primary that sends a little now and then.
	transferMost = 2 * time.Hour
)

// askSerial asks a primary for the zone's SOA record: over UDP, and over TCP where
// that does not have it, as Knot DNS answers for catalogs without a key; or over TLS alone.
//
// left is for how long the primary's own copy may be served yet (RFC 7314, section 4); nil: it does not say.
func (z *zone) askSerial(ctx context.Context, p peer) (serial uint32, left *uint32, err error) {
	options := askExpire
	msg, ss := p.ask(dns.OpcodeQuery, typeSOA, z, nil, 0, z.m.now, options...)
	m, err := p.exchangeOver(ctx, msg, ss, askWait)
	noEDNS := m != nil && (m.rcode == dns.RcodeFormatError || m.rcode == dns.RcodeNotImplemented) // RFC 6891, section 7
	if noEDNS {
		options = nil
	}
	if noEDNS || p.tls == nil && (err != nil || m.truncated || m.rcode != dns.RcodeSuccess) {
		msg, ss = p.ask(dns.OpcodeQuery, typeSOA, z, nil, 0, z.m.now, options...)
		if m, err = p.exchangeTCP(ctx, msg, ss); err != nil {
			return 0, nil, err
		}
	}
	if err != nil {
		return 0, nil, err
	}
	if m.rcode != dns.RcodeSuccess {
		return 0, nil, fmt.Errorf("it answers %s when asked for the SOA record", rcodeName(m.rcode))
	}
	if !m.authority { // a resolver, or who has let the zone expire: nothing that keeps a copy from expiring
		return 0, nil, errors.New("its answer is not authoritative when asked for the SOA record: it does not serve the zone itself")
	}
	for _, r := range m.sections[answer] {
		if r.isSOA() && string(lowered(r.Owner)) == string(z.apex) {
			return serialOf(r.Data), m.left, nil
		}
	}
	return 0, nil, errors.New("it has no SOA record of the zone")
}

// exchangeOver is exchange over UDP, or over TLS where the peer is asked by that
// alone.
func (p peer) exchangeOver(ctx context.Context, msg []byte, ss *session, wait time.Duration) (*message, error) {
	if p.tls != nil {
		return p.exchangeTCP(ctx, msg, ss)
	}
	return p.exchange(ctx, msg, ss, wait)
}

// exchangeTCP is exchange over TCP, for an answer of one message.
func (p peer) exchangeTCP(ctx context.Context, msg []byte, ss *session) (*message, error) {
	var got *message
	err := p.converse(ctx, msg, ss, askWait, func(m *message) (bool, error) { got = m; return true, nil })
	return got, err
}

// converse sends a message over TCP and gives each message of the answer to take,
// until that says that it was the last.
func (p peer) converse(ctx context.Context, msg []byte, ss *session, silence time.Duration, take func(*message) (last bool, err error)) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	conn.SetDeadline(time.Now().Add(silence))
	if err := writeTCP(conn, msg); err != nil {
		return err
	}
	r, buf := bufio.NewReaderSize(conn, 1<<16), make([]byte, 0, 1<<16)
	for {
		if buf, err = readTCP(r, buf); err != nil {
			return fmt.Errorf("the answer is not complete: %w", bare(err))
		}
		m, err := accept(buf, msg, ss)
		if err != nil {
			return err
		}
		last, err := take(m)
		if err != nil {
			return err
		}
		if last {
			if len(ss.unsigned) > 0 { // RFC 8945, section 5.3.1
				return errors.New("the answer's last message is not signed")
			}
			return nil
		}
		conn.SetDeadline(time.Now().Add(silence))
		if ctx.Err() != nil { // after setting the deadline: the end sets one too
			return ctx.Err()
		}
	}
}

// errNoIXFR tells that a primary does not serve what has changed, so that all of
// the zone must be asked for.
var errNoIXFR = errors.New("it does not serve IXFR")

// fetch transfers the zone from a primary: what has changed since has, or all of
// it where has is nil. A nil zone means that has is the newest.
func (z *zone) fetch(ctx context.Context, p peer, has *zones.Zone) (next *zones.Zone, changes []*change, err error) {
	in := &incoming{zone: z, has: has}
	qtype := dns.TypeAXFR
	var soa *zones.RR
	if has != nil {
		qtype = dns.TypeIXFR
		s := soaOf(has)
		soa = &s
	}
	ctx, cancel := context.WithTimeout(ctx, transferMost)
	defer cancel()
	msg, ss := p.ask(dns.OpcodeQuery, qtype, z, soa, authority, z.m.now)
	if err := p.converse(ctx, msg, ss, transferWait, in.message); err != nil {
		return nil, nil, err
	}
	if in.strays > 0 {
		z.m.log.Warn("a primary sends records that do not belong into the zone: they are left out", "zone", z.name, "from", p, "records", in.strays, "first", format(in.stray))
	}
	return in.result()
}

// incoming is a transfer that is coming in: the stream of records of RFC 5936,
// section 2.2, or RFC 1995, section 4.
//
//	at the start        SOA                          its serial number is that of the new version
//	behind the first    SOA of the version we have   changes follow
//	                    anything else                it is the whole zone
//	in the whole zone   SOA                          the end
//	in what is removed  SOA                          what is added follows
//	in what is added    SOA of the new version       the end, where that is what was added to
//	                    another SOA                  what is removed next follows
type incoming struct {
	zone *zone
	has  *zones.Zone // nil: AXFR

	soa     zones.RR // the first record
	state   transferState
	records []zones.RR // of a whole zone
	changes []*change
	taken   int    // records
	strays  int    // records that do not belong into the zone
	stray   []byte // the owner of the first of them
}

type transferState uint8

const (
	atStart transferState = iota
	afterFirst
	inWhole
	inRemoved
	inAdded
	atEnd
)

// message takes the records of a message.
func (in *incoming) message(m *message) (last bool, err error) {
	switch {
	case m.rcode == dns.RcodeSuccess:
	case in.has != nil && (m.rcode == dns.RcodeNotImplemented || m.rcode == dns.RcodeFormatError || m.rcode == dns.RcodeServerFailure):
		return false, errNoIXFR
	default:
		return false, fmt.Errorf("it answers %s when asked for the zone", rcodeName(m.rcode))
	}
	if len(m.sections[answer]) == 0 {
		return false, errors.New("it sends a message without records")
	}
	if in.taken += len(m.sections[answer]); in.taken > in.zone.set.Load().mostRecords() {
		return false, fmt.Errorf("it sends more than %d records: max_records of the zone says how many it may", in.zone.set.Load().mostRecords())
	}
	for _, r := range m.sections[answer] {
		if in.state == atEnd {
			return false, errors.New("it sends records behind the last one")
		}
		if r.class != dns.ClassINET || !isBelow(lowered(r.Owner), in.zone.apex) { // such as addresses of name servers elsewhere
			if in.strays++; in.strays == 1 {
				in.stray = r.Owner
			}
			continue
		}
		if r.isSOA() && string(lowered(r.Owner)) != string(in.zone.apex) {
			return false, fmt.Errorf("it sends an SOA record of %s", format(r.Owner))
		}
		if err := r.Check(); err != nil {
			return false, fmt.Errorf("it sends a record that can't be one: %w", err)
		}
		if err := in.record(r); err != nil {
			return false, err
		}
	}
	// One SOA record alone, in one message, tells that there is nothing new.
	return in.state == atEnd || in.state == afterFirst && in.has != nil && !newer(serialOf(in.soa.Data), in.has.Serial), nil
}

func (in *incoming) record(r record) error {
	serial := serialOf(r.Data)
	switch in.state {
	case atStart:
		if !r.isSOA() {
			return errors.New("its first record is not the SOA record")
		}
		in.soa, in.state = r.RR, afterFirst
	case afterFirst:
		if r.isSOA() && in.has != nil && serial == in.has.Serial && serial != serialOf(in.soa.Data) {
			in.changes, in.state = append(in.changes, &change{before: r.RR}), inRemoved
			return nil
		}
		in.state, in.records = inWhole, append(in.records, in.soa)
		return in.record(r)
	case inWhole:
		if !r.isSOA() {
			in.records = append(in.records, r.RR)
			return nil
		}
		if serial != serialOf(in.soa.Data) {
			return errors.New("its last SOA record is not its first one: the zone has changed meanwhile")
		}
		in.state = atEnd
	case inRemoved:
		c := in.changes[len(in.changes)-1]
		if !r.isSOA() {
			c.removed = append(c.removed, r.RR)
			return nil
		}
		c.after, in.state = r.RR, inAdded
	case inAdded:
		c := in.changes[len(in.changes)-1]
		switch {
		case !r.isSOA():
			c.added = append(c.added, r.RR)
		case serial == serialOf(in.soa.Data) && c.to() == serial:
			in.state = atEnd
		case serial == c.to():
			in.changes, in.state = append(in.changes, &change{before: r.RR}), inRemoved
		default:
			return fmt.Errorf("its changes do not follow one another: one ends at serial %d, the next begins at %d", c.to(), serial)
		}
	}
	return nil
}

// result makes the zone of what came.
func (in *incoming) result() (*zones.Zone, []*change, error) {
	z := in.zone
	file := z.set.Load().File
	if in.state == afterFirst {
		return nil, nil, nil
	}
	if in.changes == nil {
		next, err := zones.Make(z.name, file, slices.Values(in.records))
		if err == nil && in.has != nil && !newer(next.Serial, in.has.Serial) {
			return nil, nil, nil // an old version, where there was nothing newer
		}
		return next, nil, err
	}
	e := newEdit(in.has)
	for _, c := range in.changes {
		if err := e.apply(c); err != nil {
			return nil, nil, err
		}
	}
	next, err := e.build(z.name, file, &z.patcher)
	return next, in.changes, err
}

// writeCopy writes a zone as a master file, in the place of the one before.
func writeCopy(path string, z *zones.Zone) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "; A copy of the zone %s, written by gslb at each transfer.\n", z.Name)
	for owner, set := range z.Walk() {
		for r := range set.Of(owner) {
			h := dns.RR_Header{Name: format(r.Owner), Rrtype: r.Type, Class: dns.ClassINET, Ttl: r.TTL, Rdlength: uint16(len(r.Data))}
			rr, _, err := dns.UnpackRRWithHeader(h, r.Data, 0)
			if _, unknown := rr.(*dns.RFC3597); err != nil || unknown { // RFC 3597, section 5
				fmt.Fprintf(&b, "%s\t%d\tIN\tTYPE%d\t\\# %d %x\n", h.Name, r.TTL, r.Type, len(r.Data), r.Data)
				continue
			}
			b.WriteString(rr.String())
			b.WriteByte('\n')
		}
		parallel.Yield()
	}
	return durable.WriteFile(path, 0o644, b.Bytes())
}
