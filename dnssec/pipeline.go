package dnssec

import "time"

// pipeline signs RRsets in batches: the caller's goroutine writes them in
// canonical form, workers sign, and the caller's goroutine emits them in the
// order in which they came. Batches and their buffers are used again.
type pipeline struct {
	class  uint16
	times  Times
	now    int64 // seconds since 1970
	old    *Cache
	emit   func(*Signed) error
	result Result
	next   int64 // when the first signature is due; 0 while there is none
	canon  canonicalizer
	batch  *batch   // being filled, or nil
	queue  []*batch // given to the workers, the oldest first
	free   []*batch
	depth  int  // how long the queue may get
	part   bool // old has what is reused, and stays
	work   chan *batch
}

// batchLen is how many RRsets a batch has.
const batchLen = 128

type batch struct {
	buf  []byte // owners, rdata and what is to be signed
	jobs []job
	done chan struct{} // gets one value each time that the batch is worked off
}

// job is an RRset to be signed.
type job struct {
	out     Signed
	data    [][]byte // room for out.Data
	rrsig   [][]byte // room for out.RRSIG
	pending []signature
}

// signature is one that is to be made.
type signature struct {
	key    *Key
	header int    // octets of signed that begin the RRSIG's rdata as well
	signed []byte // header, then RRset in canonical form
	digest digest
	rrsig  []byte // rdata
	reused bool
	err    error
}

// newPipeline starts the workers, which end with stop.
func newPipeline(s *Signing, now time.Time, emit func(*Signed) error) *pipeline {
	p := &pipeline{class: s.Class, times: s.Times, now: now.Unix(), old: s.Cache, emit: emit, depth: 2*s.Workers + 2}
	p.result.Cache = &Cache{keys: make(map[[8]byte]*signatures)}
	p.work = make(chan *batch, p.depth)
	for range s.Workers {
		go signBatches(p.work, p.old)
	}
	return p
}

// stop ends the workers once they have done what they were given.
func (p *pipeline) stop() { close(p.work) }

// signBatches is a worker's life.
func signBatches(work <-chan *batch, old *Cache) {
	for b := range work {
		for i := range b.jobs {
			for n := range b.jobs[i].pending {
				b.jobs[i].pending[n].make(old)
			}
		}
		b.done <- struct{}{}
	}
}

// make takes the signature from the cache or signs.
func (s *signature) make(old *Cache) {
	s.digest = digestOf(s.signed)
	s.rrsig = append(s.rrsig[:0], s.signed[:s.header]...)
	if known := old.get(s.key, s.digest); known != nil {
		s.rrsig, s.reused = append(s.rrsig, known...), true
		return
	}
	s.rrsig, s.err = s.key.appendSignature(s.rrsig, s.signed)
}

// add queues an RRset whose owner is in lower case. With own its data are
// emitted too. without is Signed.Without.
func (p *pipeline) add(owner []byte, set *RRset, keys []*Key, own bool, without uint16) error {
	b := p.batch
	if b == nil {
		b = p.take()
		p.batch = b
	}
	j := grow(&b.jobs)
	j.out = Signed{Owner: b.copy(owner), Type: set.Type, TTL: set.TTL, ID: set.ID, Without: without}
	j.data, j.rrsig, j.pending = j.data[:0], j.rrsig[:0], j.pending[:0]
	if own {
		for _, data := range set.Data {
			j.data = append(j.data, b.copy(data))
		}
		j.out.Data = j.data
	}
	for _, k := range keys {
		life, due := p.times.at(p.now, k, owner, set.Type)
		if p.next == 0 || due < p.next {
			p.next = due
		}
		at := len(b.buf)
		b.buf = k.appendHeader(b.buf, owner, set, life)
		header := len(b.buf) - at
		signed, err := p.canon.appendSet(b.buf, owner, p.class, set)
		if err != nil {
			return err
		}
		b.buf = signed
		s := grow(&j.pending)
		*s = signature{key: k, header: header, signed: signed[at:len(signed):len(signed)], rrsig: s.rrsig}
	}
	if len(b.jobs) < batchLen {
		return nil
	}
	return p.send()
}

// grow makes a slice longer by one and gives the new last one, which keeps what
// it last held.
func grow[T any](s *[]T) *T {
	if n := len(*s); n < cap(*s) {
		*s = (*s)[:n+1]
	} else {
		var zero T
		*s = append(*s, zero)
	}
	return &(*s)[len(*s)-1]
}

func (b *batch) copy(data []byte) []byte {
	at := len(b.buf)
	b.buf = append(b.buf, data...)
	return b.buf[at:len(b.buf):len(b.buf)]
}

// take gives an empty batch.
func (p *pipeline) take() *batch {
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		b.buf, b.jobs = b.buf[:0], b.jobs[:0]
		return b
	}
	return &batch{done: make(chan struct{}, 1)}
}

// send gives the batch to the workers, and waits for old ones when there are
// many.
func (p *pipeline) send() error {
	p.work <- p.batch
	p.queue = append(p.queue, p.batch)
	p.batch = nil
	return p.drain(p.depth - 1)
}

// flush sends what there is and waits for all.
func (p *pipeline) flush() error {
	if p.batch != nil {
		if err := p.send(); err != nil {
			return err
		}
	}
	if err := p.drain(0); err != nil {
		return err
	}
	if p.next != 0 {
		p.result.Next = time.Unix(p.next, 0).UTC()
	}
	return nil
}

// drain emits batches, the oldest first, until no more than left are queued.
func (p *pipeline) drain(left int) error {
	for len(p.queue) > left {
		b := p.queue[0]
		<-b.done
		copy(p.queue, p.queue[1:])
		p.queue = p.queue[:len(p.queue)-1]
		for i := range b.jobs {
			if err := p.deliver(&b.jobs[i]); err != nil {
				return err
			}
		}
		p.free = append(p.free, b)
	}
	return nil
}

func (p *pipeline) deliver(j *job) error {
	for i := range j.pending {
		s := &j.pending[i]
		if s.err != nil {
			return s.err
		}
		j.rrsig = append(j.rrsig, s.rrsig)
		if s.reused {
			p.result.Reused++
		} else {
			p.result.Made++
		}
		if s.reused && p.part {
			continue
		}
		expected := p.old.len(s.key)
		if p.part {
			expected = len(p.queue)
		}
		p.result.Cache.put(s.key, s.digest, s.rrsig[s.header:], expected)
	}
	j.out.RRSIG = j.rrsig
	return p.emit(&j.out)
}
