package zones

import (
	"encoding/binary"

	"github.com/miekg/dns"
)

// maxPointer is the last place that a compression pointer can lead to.
const maxPointer = 1<<14 - 1

// AppendChain adds to a message, whose question is for the name that was looked
// up, a chain of aliases with what stands at its end, as it lies in the zone: each
// record under the name that the alias before it leads to, which stands in the
// message already. It does so where all of that is known to have room, and where
// nothing else would have to be compressed; if not, ok is false, and the Encoder
// has to write the answer.
func (r *Result) AppendChain(msg []byte, room int) (out []byte, c Counts, ok bool) {
	if len(r.Answer) < 2 || !r.chains(min(room, maxPointer)-len(msg)) {
		return msg, c, false
	}
	owner := uint16(0xc000 | headerLen) // a pointer to it
	for i := range r.Answer {
		set := &r.Answer[i].Set
		c.Answer += int(set.Count)
		switch {
		case set.Type == dns.TypeDNAME:
			above := len(r.Answer[i].Owner)
			msg = appendUnder(msg, set.Wire, 0xc000|uint16(headerLen+r.name.length-above))
			msg = r.appendSigs(msg, set, 0xc000|uint16(headerLen+r.name.length-above), &c)
		case set.Type == dns.TypeCNAME:
			var next uint16
			msg, next = r.appendAlias(msg, set.Wire, owner)
			msg = r.appendSigs(msg, set, owner, &c)
			owner = next
		default:
			msg = appendUnder(msg, set.Wire, owner)
			msg = r.appendSigs(msg, set, owner, &c)
		}
	}
	for i := range r.Authority {
		rec := &r.Authority[i]
		msg = r.appendRecord(msg, rec)
		c.Authority += int(rec.Set.Count) + int(rec.Set.Sigs)
	}
	return msg, c, true
}

// chains tells whether AppendChain can write the answer, in so many octets.
func (r *Result) chains(room int) bool {
	if r.Additional.Len() > 0 {
		return false
	}
	for i := range r.Answer {
		rec := &r.Answer[i]
		switch {
		case rec.Set.Type == dns.TypeDNAME:
			if i > 0 { // below a name that an alias led to
				return false
			}
		case rec.Set.Type != dns.TypeCNAME && (i == 0 || !asIs(rec.Set.Type)):
			return false
		}
		if room -= len(rec.Set.signed()); !r.Signed {
			room += len(rec.Set.RRSIG())
		}
	}
	for i := range r.Authority {
		rec := &r.Authority[i]
		apex := r.Zone.apex
		if !asIs(rec.Set.Type) || len(rec.Owner) < len(apex) || !sameName(rec.Owner[len(rec.Owner)-len(apex):], apex) {
			return false
		}
		room -= len(rec.Owner) + len(rec.Set.signed())
	}
	return room >= 0
}

// appendUnder appends records, with a pointer to their owner.
func appendUnder(msg, records []byte, owner uint16) []byte {
	at := len(msg)
	for msg = append(msg, records...); at < len(msg); at += recordHead + int(binary.BigEndian.Uint16(msg[at+recordHead-2:])) {
		binary.BigEndian.PutUint16(msg[at:], owner)
	}
	return msg
}

// appendSigs appends the signatures of a set, where they are wanted.
func (r *Result) appendSigs(msg []byte, set *RRset, owner uint16, c *Counts) []byte {
	if !r.Signed || set.Sigs == 0 {
		return msg
	}
	c.Answer += int(set.Sigs)
	return appendUnder(msg, set.RRSIG(), owner)
}

// appendAlias appends a CNAME record, whose target ends in a pointer where it
// ends as the name that was asked for does, and gives a pointer to the target.
func (r *Result) appendAlias(msg, record []byte, owner uint16) (out []byte, target uint16) {
	record = record[:recordHead+int(binary.BigEndian.Uint16(record[recordHead-2:]))]
	start := len(msg)
	msg = append(msg, record...)
	binary.BigEndian.PutUint16(msg[start:], owner)
	name := record[recordHead:]
	own, at := r.commonEnd(name)
	target = 0xc000 | uint16(start+recordHead)
	if at == 0 {
		return msg, target
	}
	msg = binary.BigEndian.AppendUint16(msg[:start+recordHead+own], at)
	binary.BigEndian.PutUint16(msg[start+recordHead-2:], uint16(own+2))
	if own == 0 {
		target = at
	}
	return msg, target
}

// commonEnd gives how many octets of a name are its own, and a pointer to where
// the rest of it stands in the question; 0: nothing of it does.
func (r *Result) commonEnd(name []byte) (own int, at uint16) {
	asked, k := r.name, 0
	for name[own] != 0 {
		rest := len(name) - own
		for k < asked.labels && asked.length-int(asked.off[k]) > rest {
			k++
		}
		if asked.length-int(asked.off[k]) == rest && sameName(name[own:], asked.octets[asked.off[k]:asked.length]) {
			return own, 0xc000 | uint16(headerLen+int(asked.off[k]))
		}
		own += 1 + int(name[own])
	}
	return own, 0
}
