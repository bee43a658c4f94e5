package dnsserver

import (
	"context"
	"math"
	"net/netip"
	"sync/atomic"
	"time"

	"gslb/steady"
	"gslb/waits"
	"gslb/zones"
)

// A zone with compact denial (RFC 9824) has its chain of NSEC3 records signed ahead, as
// others have, and that can prove whatever does not exist. When there is time, a name that
// does not exist gets a proof of its own instead, signed for who asks:
//
//	a proof of that name was made lately      it is given at once, wherever the query came in
//	the budget is spent                       the chain's proof, at once
//	UDP                                       a signer beside the workers answers
//	TCP on an event loop                      the connection goes on in a goroutine of its own, which signs
//	streams, HTTPS, QUIC                      their goroutine signs
//	AF_XDP                                    the chain's proof: a frame cannot wait
//
// So no worker makes a signature or waits for one, and a flood of random names is
// answered as in any signed zone.

// signing is where a responder has proofs signed.
type signing uint8

const (
	signsNowhere   signing = iota // known proofs alone are given
	signsElsewhere                // who serves hands the query to the signer; see responder.waiting
	signsApart                    // who serves hands the whole connection over; see responder.handed
	signsHere                     // where the query is answered, within the budget
	signsPaid                     // likewise, and the budget has been asked
)

const (
	maxWaiting    = 128     // queries that wait for the signer
	maxWaitingLen = 512     // octets of one; hardly any has so many
	keptProofs    = 1 << 12 // some 400 octets each
	budgetBurst   = 1e9     // ns of the budget that may be saved up
	firstCost     = 50e3    // ns that a proof is taken to cost before one was made: ECDSA P-256 on a slow core
	mostCost      = 20e6    // ns: what takes longer was held up
	costShift     = 3       // the cost is the mean of about so many last ones, a power of two
	mostShare     = 64      // cores
	defaultShare  = 0.1     // of a core
)

// compactKinds are the ways in which a name that does not exist is denied, in a zone
// with compact denial: by a proof that was signed for it, by one that was kept, or by the chain, since
// the budget was spent or the query could not wait.
var compactKinds = [...]string{"signed", "kept", "chain"}

const (
	compactSigned = iota
	compactKept
	compactChain
)

// proofs makes and keeps the proofs of compact denial, for all responders of a server.
type proofs struct {
	budget  budget
	free    chan *waiting // to be filled
	waiting chan *waiting // to be answered
	kept    [keptProofs]atomic.Pointer[zones.CompactProof]
}

// waiting is a query over UDP that waits for the signer. There is a fixed number of them.
type waiting struct {
	msg    [maxWaitingLen]byte
	length int
	client netip.AddrPort
	origin origin
}

// newProofs makes what signs with a share of a core.
func newProofs(share float64) *proofs {
	p := &proofs{free: make(chan *waiting, maxWaiting), waiting: make(chan *waiting, maxWaiting)}
	p.budget.share, p.budget.began = share, time.Now()
	p.budget.cost.Store(firstCost)
	if share > 0 {
		for range maxWaiting {
			p.free <- new(waiting)
		}
	}
	return p
}

// place gives the place in which the proof for a name that was looked up is kept.
func (p *proofs) place(r *zones.Result) *atomic.Pointer[zones.CompactProof] {
	return &p.kept[r.NameHash()%keptProofs]
}

// compact puts a proof of the name itself into what was looked up, if there is one or
// there is time to make it. later tells that the answer comes from elsewhere.
func (w *responder) compact(msg []byte) (later bool) {
	r, p := &w.res, w.proofs
	if known := p.place(r).Load(); known.Proves(r, int64(w.seconds.Load())) {
		r.Put(known, w.q.EDNS.CO)
		w.tally.compact[compactKept]++
		return false
	}
	switch w.signs {
	case signsElsewhere:
		if len(msg) <= maxWaitingLen && p.budget.take() {
			select {
			case w.waiting = <-p.free:
				w.uncount()
				return true
			default: // the signer has no core to itself
			}
		}
	case signsApart:
		if p.budget.take() { // what that costs, and once more for the signature
			w.handed = true
			w.uncount()
			return true
		}
	case signsHere:
		if p.budget.take() && w.sign() {
			return false
		}
	case signsPaid:
		if w.sign() {
			return false
		}
	}
	w.tally.compact[compactChain]++
	return false
}

// uncount takes back what was counted of a query that is parsed again elsewhere.
func (w *responder) uncount() {
	if e := &w.q.EDNS; e.asks&askCookie != 0 {
		w.tally.cookies[cookieKind(w.opt.trusted, len(e.Cookie))]--
	}
}

// sign makes the proof, keeps it, and puts it into what was looked up. It may fail:
// the chain's proof is there.
func (w *responder) sign() bool {
	r, p := &w.res, w.proofs
	begin := time.Now()
	made, err := r.Prove(steady.Now())
	if w.signs == signsHere {
		p.budget.took(time.Since(begin))
	}
	if err != nil {
		return false
	}
	p.place(r).Store(made)
	r.Put(made, w.q.EDNS.CO)
	w.tally.compact[compactSigned]++
	return true
}

// fill makes the waiting query whole, but for its origin, and gives it.
func (w *responder) fill(msg []byte, client netip.AddrPort) *waiting {
	q := w.waiting
	w.waiting = nil
	q.length, q.client = copy(q.msg[:], msg), client
	return q
}

// signers is how many goroutines sign for queries over UDP.
func (s *Server) signers() int {
	return int(math.Ceil(min(s.proofs.budget.share, float64(waits.Cores()))))
}

// serveWaiting answers the queries that wait for the signer, until ctx ends and none waits.
func (s *Server) serveWaiting(ctx context.Context) {
	w := s.responder(0, &s.streams.counters[0])
	w.signs, w.limiter, w.others = signsPaid, nil, false // the limiter has let it in
	out := make([]byte, 0, maxMessage+maxRecordHead)
	answer := func(q *waiting) {
		begin := time.Now()
		if reply := s.answer(w, q.msg[:q.length], q.client, false, out); len(reply) > 0 && q.origin.send(reply) != nil {
			w.count.sendFail.Add(1)
		}
		s.proofs.budget.took(time.Since(begin)) // with all that would not be done otherwise
		s.proofs.free <- q
	}
	for {
		select {
		case q := <-s.proofs.waiting:
			answer(q)
		case <-ctx.Done():
			select {
			case q := <-s.proofs.waiting:
				answer(q)
			default:
				return
			}
		}
	}
}

// budget is the part of a core's time that signatures may take which queries ask for: so
// much at most, whatever they cost. It is spent in ns of the time that a proof took of late,
// so that it shrinks on a machine that is busy with other things.
type budget struct {
	share float64 // of a core; 0: none
	began time.Time
	cost  atomic.Int64 // ns that a proof takes
	spent atomic.Int64 // until when, in ns since began, all that was taken is paid for
}

// take takes a proof's worth, if there is as much.
func (b *budget) take() bool {
	if b.share <= 0 {
		return false
	}
	now := int64(time.Since(b.began))
	for {
		spent := b.spent.Load()
		if spent > now+budgetBurst {
			return false
		}
		if b.spent.CompareAndSwap(spent, max(spent, now)+int64(float64(b.cost.Load())/b.share)) {
			return true
		}
	}
}

// took notes what a proof has cost.
func (b *budget) took(d time.Duration) {
	was := b.cost.Load()
	b.cost.Store(max(was+(min(int64(d), mostCost)-was)>>costShift, 1))
}
