package main

import (
	"bufio"
	"crypto"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// writeSignedZone writes the static zone's names once more, as signedZone, with
// DNSKEY, NSEC and RRSIG records (RFC 4034): the same file for all servers, so
// that they differ neither in the algorithm (ECDSA P-256) nor in the chain.
func writeSignedZone(file string, names int) error {
	key := &dns.DNSKEY{Hdr: header(signedZone, dns.TypeDNSKEY), Flags: dns.ZONE | dns.SEP, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
	private, err := key.Generate(256)
	if err != nil {
		return err
	}
	z := zoneSigner{key: key, private: private.(crypto.Signer), now: time.Now()}
	rrsets := [][]dns.RR{
		{&dns.SOA{Hdr: header(signedZone, dns.TypeSOA), Ns: "ns1." + signedZone, Mbox: "hostmaster." + signedZone, Serial: 1, Refresh: 3600, Retry: 900, Expire: 604800, Minttl: ttl}},
		{&dns.NS{Hdr: header(signedZone, dns.TypeNS), Ns: "ns1." + signedZone}},
		{key},
		{&dns.A{Hdr: header("ns1."+signedZone, dns.TypeA), A: []byte{192, 0, 2, 53}}},
	}
	owners := []string{"ns1"}
	for i := range names {
		rrsets = append(rrsets, []dns.RR{&dns.A{Hdr: header(staticLabel(i)+"."+signedZone, dns.TypeA), A: staticAddress(i).AsSlice()}})
		owners = append(owners, staticLabel(i))
	}
	rrsets = append(rrsets, nsecChain(owners)...)
	return z.write(file, rrsets)
}

func header(name string, rrtype uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

// nsecChain links the apex and the labels below it, which have A records, in
// canonical order (RFC 4034 section 6.1): that of the octets, for labels of one level.
func nsecChain(labels []string) [][]dns.RR {
	slices.Sort(labels)
	chain := [][]dns.RR{{&dns.NSEC{Hdr: header(signedZone, dns.TypeNSEC), NextDomain: labels[0] + "." + signedZone,
		TypeBitMap: []uint16{dns.TypeNS, dns.TypeSOA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY}}}}
	for i, label := range labels {
		next := signedZone
		if i+1 < len(labels) {
			next = labels[i+1] + "." + signedZone
		}
		chain = append(chain, []dns.RR{&dns.NSEC{Hdr: header(label+"."+signedZone, dns.TypeNSEC), NextDomain: next,
			TypeBitMap: []uint16{dns.TypeA, dns.TypeRRSIG, dns.TypeNSEC}}})
	}
	return chain
}

// zoneSigner signs RRsets with one key.
type zoneSigner struct {
	key     *dns.DNSKEY
	private crypto.Signer
	now     time.Time
}

// write writes all RRsets with a signature of each.
func (z *zoneSigner) write(file string, rrsets [][]dns.RR) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	for _, set := range rrsets {
		sig := &dns.RRSIG{
			Hdr: header(set[0].Header().Name, dns.TypeRRSIG), Algorithm: z.key.Algorithm, KeyTag: z.key.KeyTag(), SignerName: signedZone,
			Inception: uint32(z.now.Add(-time.Hour).Unix()), Expiration: uint32(z.now.AddDate(0, 1, 0).Unix()),
		}
		if err := sig.Sign(z.private, set); err != nil {
			return err
		}
		for _, rr := range append(set, sig) {
			fmt.Fprintln(w, rr)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
