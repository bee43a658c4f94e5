package zones

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/parallel"
)

// hosts is a zone of n names with an address each.
func hosts(n int) []byte {
	var b bytes.Buffer
	b.WriteString("$TTL 300\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n")
	for i := range n {
		fmt.Fprintf(&b, "h%06d A 10.%d.%d.%d\n", i, i>>16&255, i>>8&255, i&255)
	}
	return b.Bytes()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A name of a large zone takes at most 150 octets, and a zone knows how much it takes.
func TestMemoryForEachName(t *testing.T) {
	const n = 100_000
	text := hosts(n)
	before := heap()
	z := read(t, "example.", string(text))
	took := int(heap()-before) / n
	if took > 150 || z.Bytes()/n > took+10 || z.Bytes()/n < took*2/3 {
		t.Errorf("%d octets a name, %d by its own account", took, z.Bytes()/n)
	}
	runtime.KeepAlive(text)
}

// BenchmarkBuild is what a zone costs besides reading its file.
func BenchmarkBuild(b *testing.B) {
	const n = 1_000_000
	var owners [][]byte
	for i := range n {
		w, _ := dnsname.Parse(fmt.Sprintf("h%06d.example.", i))
		owners = append(owners, w)
	}
	b.ReportAllocs()
	for b.Loop() {
		nb, _ := newBuilder(Config{Name: "example.", File: "f"})
		apexWire, _ := dnsname.Parse("example.")
		soa := append(append(append([]byte{}, apexWire...), apexWire...), make([]byte, 20)...)
		nb.add(record{owner: apexWire, rrtype: dns.TypeSOA, class: 1, ttl: 1, data: soa, file: "f", line: 1})
		nb.add(record{owner: apexWire, rrtype: dns.TypeNS, class: 1, ttl: 1, data: apexWire, file: "f", line: 1})
		data := make([]byte, 4)
		for i, o := range owners {
			data[3], data[2], data[1] = byte(i), byte(i>>8), byte(i>>16)
			if err := nb.add(record{owner: o, rrtype: dns.TypeA, class: 1, ttl: 300, data: data, file: "f", line: i}); err != nil {
				b.Fatal(err)
			}
		}
		z := nb.zone
		if errs := nb.finish(); errs != nil {
			b.Fatal(errs)
		}
		b.ReportMetric(float64(z.Bytes())/n, "bytes/name")
	}
}

// BenchmarkLoad is what a zone costs in all.
func BenchmarkLoad(b *testing.B) {
	file := filepath.Join(b.TempDir(), "zone")
	os.WriteFile(file, hosts(1_000_000), 0o644)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadFile(Config{Name: "example.", File: file}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSize is a look-up in zones of different sizes.
func BenchmarkSize(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		z, err := Read(Config{Name: "example.", File: "f"}, bytes.NewReader(hosts(n)))
		if err != nil {
			b.Fatal(err)
		}
		db, _ := Build([]*Zone{z}, nil, nil)
		var names [][]byte
		for i := range 1 << 14 {
			w, _ := dnsname.Parse(fmt.Sprintf("h%06d.example.", i*7919%n))
			names = append(names, w)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var r Result
			var name Name
			i := 0
			for b.Loop() {
				name.Set(names[i&(len(names)-1)])
				db.Lookup(&name, dns.TypeA, false, &r)
				i++
			}
		})
	}
}

// BenchmarkZones is a look-up among different numbers of zones, another one each
// time. The names lie one behind the other in the order in which they are asked
// for, so that nothing is waited for but what the look-up itself reads. In "ahead"
// that is read ahead for 32 of them.
func BenchmarkZones(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		zs := make([]*Zone, n)
		const size = 32
		names := make([]byte, size*n)
		parallel.Each(n, func(i int) {
			apex := fmt.Sprintf("z%07d.many.example.", i)
			z, err := Read(Config{Name: apex, File: "f"}, bytes.NewReader([]byte("$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\nwww A 192.0.2.80\n")))
			if err != nil {
				b.Fatal(err)
			}
			zs[i] = z
			wire, _ := dnsname.Parse("www." + apex)
			copy(names[i*7919%n*size:], wire)
		})
		db, err := Build(zs, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		bench := func(b *testing.B) {
			var r Result
			var name Name
			i := 0
			for b.Loop() {
				name.Set(names[size*i : size*i+size])
				db.Lookup(&name, dns.TypeA, false, &r)
				if i++; i == n {
					i = 0
				}
			}
		}
		batches := func(b *testing.B) {
			const batch = 32
			var r Result
			var name Name
			ahead := NewAhead(batch)
			i := 0
			for b.Loop() {
				if i%batch == 0 {
					for k := i; k < i+batch && k < n; k++ {
						ahead.Add(db, names[size*k:size*k+size])
					}
					ahead.Read(db)
				}
				name.Set(names[size*i : size*i+size])
				db.Lookup(&name, dns.TypeA, false, &r)
				if i++; i == n {
					i = 0
				}
			}
		}
		b.Run(fmt.Sprint(n), bench)
		b.Run(fmt.Sprint(n, "/ahead"), batches)
	}
}

// BenchmarkSign is what signing a zone costs, and what a name takes afterwards.
func BenchmarkSign(b *testing.B) {
	const n = 100_000
	z, err := Read(Config{Name: "example.", File: "f"}, bytes.NewReader(hosts(n)))
	if err != nil {
		b.Fatal(err)
	}
	k := key(b, "example.", dnssec.ECDSAP256SHA256, dnssec.CSK)
	b.ReportAllocs()
	for b.Loop() {
		signed, err := z.sign(nil, &dnssec.Signing{Keys: csk(k)}, numbering{}, nil, signTime)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(signed.Bytes())/n, "bytes/name")
	}
}
