package dnssec

import (
	"bytes"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// A zone goes unsigned when the parent has no DS, and no cache has one, not
// before; it can be had back until then, and gets new keys after.
func TestLeave(t *testing.T) {
	for _, csk := range []bool{true, false} {
		p := DefaultPolicy
		p.CSK = csk
		w := newWorld(p)
		w.step(t)
		w.now = w.plan.Next
		w.step(t)
		for _, k := range Seen(w.keys, [][]byte{w.plan.CDS[0].DS(SHA256)}, w.now) {
			w.put(k)
		}
		n := len(w.keys)
		want := func(leaving Leaving, publish, cds int) {
			t.Helper()
			w.step(t)
			if w.plan.Leaving != leaving || len(w.plan.Publish) != publish || len(w.plan.CDS) != cds || len(w.plan.Generate)+len(w.plan.Problems) > 0 {
				t.Fatalf("csk %v: %+v", csk, w.plan)
			}
		}
		w.policy.Insecure = true
		w.now = w.now.Add(300 * day)
		want(AsksParent, n, 0)
		w.policy.Insecure = false // a change of mind
		want(Stays, n, 1)
		w.policy.Insecure, w.policy.Algorithm = true, ED25519 // no roll begins
		w.now = w.now.Add(300 * day)
		want(AsksParent, n, 0)
		changed := Gone(w.keys, w.now)
		if len(changed) != 1 {
			t.Fatalf("%d keys know that the DS is gone", len(changed))
		}
		w.put(changed[0])
		want(ForgetsDS, n, 0)
		if until := w.plan.Leaves.Sub(w.now); until != 26*time.Hour || !w.plan.Next.Equal(w.plan.Leaves) {
			t.Errorf("unsigned after %v, next at %v", until, w.plan.Next)
		}
		w.now = w.plan.Next.Add(-time.Second)
		want(ForgetsDS, n, 0)
		w.now = w.plan.Next
		want(Left, 0, 0)
		w.now = w.now.Add(day)
		want(Left, 0, 0)
		w.policy.Insecure = false
		w.step(t)
		if len(w.keys) != 2*n || len(w.plan.Publish) != n || w.plan.Publish[0].Algorithm != ED25519 || len(w.plan.Problems) > 0 {
			t.Errorf("signed again: %+v", w.plan)
		}
	}
	if plan := (Policy{Insecure: true}).Step(nil, testTime); plan.Leaving != Left || len(plan.Generate) > 0 {
		t.Errorf("a zone without keys: %+v", plan)
	}
}

// A zone that leaves has the CDS and CDNSKEY of RFC 8078, section 4, alone.
func TestDeleteCDS(t *testing.T) {
	zone := mustName(t, "example.com.")
	k, err := Generate(zone, ED25519, 0, CSK, Timing{})
	if err != nil {
		t.Fatal(err)
	}
	all := []*Key{k}
	s := Signing{Apex: zone, Keys: Plan{Publish: all, SignKeys: all, SignZone: all, CDS: all, Leaving: AsksParent}}
	got := make(map[uint16][][]byte)
	_, err = SignZone(s, testTime, func(visit func(*Name) error) error {
		return visit(&Name{Owner: zone, Sets: []RRset{
			{Type: dns.TypeSOA, TTL: 300, Data: [][]byte{make([]byte, 22)}}, {Type: dns.TypeCDS, TTL: 300, Data: [][]byte{k.DS(SHA384)}},
		}})
	}, func(s *Signed) error {
		if len(s.RRSIG) != 1 {
			t.Errorf("%s has %d signatures", dns.Type(s.Type), len(s.RRSIG))
		}
		for _, d := range s.Data {
			got[s.Type] = append(got[s.Type], bytes.Clone(d))
		}
		return nil
	})
	if err != nil || len(got[dns.TypeCDS]) != 1 || len(got[dns.TypeCDNSKEY]) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	for rrtype, want := range map[uint16]string{dns.TypeCDS: "0 0 0 00", dns.TypeCDNSKEY: "0 3 0 AA=="} {
		wire := append([]byte{0, 0, byte(rrtype), 0, 1, 0, 0, 0, 0, 0, byte(len(got[rrtype][0]))}, got[rrtype][0]...)
		rr, _, err := dns.UnpackRR(wire, 0)
		if err != nil || rr.String() != ".\t0\tIN\t"+dns.Type(rrtype).String()+"\t"+want {
			t.Errorf("%v, %v; want %s", rr, err, want)
		}
	}
}
