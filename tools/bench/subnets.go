package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"
)

// mostSubnets is how many client networks of a family are asked for: more than
// caches hold, and loadgen reads them at each start.
const mostSubnets = 50_000

// writeSubnets writes client networks that the database knows, for loadgen: each
// network of the database that has the field at the key is as likely as another,
// and a random subnet of it is taken. Random addresses would do for IPv4, but of
// IPv6 nearly all space is nobody's. files say which length goes where; up to 32
// it is IPv4. The same database gives the same networks.
func writeSubnets(database, key string, files map[string]int) error {
	db, err := maxminddb.Open(database)
	if err != nil {
		return err
	}
	defer db.Close()
	random := rand.New(rand.NewPCG(3, 4))
	var all [2][]netip.Prefix // IPv4, IPv6: a sample of the networks
	var seen [2]int
	for result := range db.Networks() {
		if err := result.Err(); err != nil {
			return fmt.Errorf("%s: %w", database, err)
		}
		p := result.Prefix()
		family := 0
		if p.Addr().Is6() {
			family = 1
		}
		seen[family]++
		at := len(all[family])
		if at == mostSubnets { // reservoir sampling
			if at = random.IntN(seen[family]); at >= mostSubnets {
				continue
			}
		}
		var record map[string]any
		if err := result.Decode(&record); err != nil {
			return fmt.Errorf("%s: %s: %w", database, p, err)
		}
		if record[key] == nil {
			seen[family]--
			continue
		}
		if at == len(all[family]) {
			all[family] = append(all[family], p)
		} else {
			all[family][at] = p
		}
	}
	for file, bits := range files {
		family := 0
		if bits > 32 {
			family = 1
		}
		var b strings.Builder
		for _, p := range all[family] {
			fmt.Fprintln(&b, randomSubnet(p, bits, random))
		}
		if b.Len() == 0 {
			return fmt.Errorf("%s: holds no networks for subnets of %d bits", database, bits)
		}
		if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// randomSubnet is a subnet of p of so many bits, or what holds p if p is smaller.
func randomSubnet(p netip.Prefix, bits int, random *rand.Rand) netip.Prefix {
	octets := p.Addr().AsSlice()
	for i := p.Bits(); i < bits; i++ {
		if random.Uint32()&1 != 0 {
			octets[i/8] |= 0x80 >> (i % 8)
		}
	}
	a, _ := netip.AddrFromSlice(octets)
	return netip.PrefixFrom(a, bits).Masked()
}

// readSubnets reads what writeSubnets wrote.
func readSubnets(file string) ([]netip.Prefix, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []netip.Prefix
	for line := range strings.Lines(string(text)) {
		p, err := netip.ParsePrefix(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, p)
	}
	return list, nil
}
