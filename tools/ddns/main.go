// Command ddns drives lego's own RFC 2136 provider, as an ACME client does, so
// that test/ sees that it works with gslb as it is. It stands in a module of its
// own: gslb itself needs none of this.
//
//	ddns present|cleanup DOMAIN TOKEN KEYAUTH
//
// with the provider's own environment (RFC2136_NAMESERVER and so on).
package main

import (
	"fmt"
	"os"

	"github.com/go-acme/lego/v4/providers/dns/rfc2136"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("usage: ddns present|cleanup DOMAIN TOKEN KEYAUTH")
	}
	p, err := rfc2136.NewDNSProvider()
	if err != nil {
		return err
	}
	switch args[0] {
	case "present":
		return p.Present(args[1], args[2], args[3])
	case "cleanup":
		return p.CleanUp(args[1], args[2], args[3])
	}
	return fmt.Errorf("%q: want present or cleanup", args[0])
}
