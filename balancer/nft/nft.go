// Package nft makes the kernel forward services with nftables: addresses rewritten
// both ways (NAT), or packets handed on at layer 2 (DSR).
package nft

// sizes are the slots of a table: primes, at least 100 for each server.
var sizes = []int{251, 1021, 4093, 10007, 65537}

// slots returns how many slots so many servers get.
func slots(servers int) int {
	for _, size := range sizes {
		if size >= 100*servers {
			return size
		}
	}
	return sizes[len(sizes)-1]
}
