// Command certmanager drives cert-manager's own RFC 2136 provider, as its ACME
// solver does, so that test/ sees that it works with gslb as it is. It stands in a
// module of its own: gslb itself needs none of this, and to build it takes minutes
// of CPU, since the provider comes with a client of Kubernetes.
//
//	certmanager present|cleanup NAMESERVER KEY SECRET ALGORITHM NAME ZONE VALUE
//
// NAMESERVER is an address with its port, ALGORITHM one of cert-manager's words
// (HMACSHA256 …), NAME the owner of the TXT record.
package main

import (
	"fmt"
	"os"

	"github.com/cert-manager/cert-manager/pkg/issuer/acme/dns/rfc2136"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 8 {
		return fmt.Errorf("usage: certmanager present|cleanup NAMESERVER KEY SECRET ALGORITHM NAME ZONE VALUE")
	}
	p, err := rfc2136.NewDNSProviderCredentials(args[1], args[4], args[2], args[3])
	if err != nil {
		return err
	}
	name, zone, value := args[5], args[6], args[7]
	switch args[0] {
	case "present":
		return p.Present(zone, name, zone, value)
	case "cleanup":
		return p.CleanUp(zone, name, zone, value)
	}
	return fmt.Errorf("%q: want present or cleanup", args[0])
}
