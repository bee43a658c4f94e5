package zones

import "github.com/miekg/dns"

// shape is how a field of a record's data is written and what it becomes.
type shape uint8

const (
	octet       shape = iota // a number, 8 bits
	number16                 // a number, 16 bits
	number32                 // a number, 32 bits
	seconds                  // a time, with units or without, 32 bits
	domain                   // a name
	ipv4                     // an IPv4 address
	ipv6                     // an IPv6 address
	charString               // a <character-string>: up to 255 octets
	charStrings              // one or more of them, to the end
	longText                 // a text of any length
	word                     // letters and digits, as a <character-string>
	algorithm                // a DNSSEC algorithm, number or mnemonic, 8 bits
	coveredType              // a record type, 16 bits
	instant                  // the time of a signature, 32 bits
	salt                     // hexadecimal, or - for none, with its length in front
	base32Hash               // base32hex, with its length in front
	hexData                  // hexadecimal, to the end
	base64Data               // base64, to the end
	typeBitmap               // record types, to the end
)

// field is one field of a record's data, under the name that messages use.
type field struct {
	shape shape
	name  string
}

// layouts are the types whose data is read here, field by field, with the
// fields' names from the RFC that defines the type. The library reads the rest.
var layouts = [dns.TypeCAA + 1][]field{
	dns.TypeA:          {{ipv4, "address"}},
	dns.TypeAAAA:       {{ipv6, "address"}},
	dns.TypeNS:         {{domain, "server's name"}},
	dns.TypeCNAME:      {{domain, "canonical name"}},
	dns.TypeDNAME:      {{domain, "target"}},
	dns.TypePTR:        {{domain, "name"}},
	dns.TypeMX:         {{number16, "preference"}, {domain, "exchange"}},
	dns.TypeKX:         {{number16, "preference"}, {domain, "exchanger"}},
	dns.TypeAFSDB:      {{number16, "subtype"}, {domain, "host name"}},
	dns.TypeRP:         {{domain, "mailbox"}, {domain, "name of the text"}},
	dns.TypeSRV:        {{number16, "priority"}, {number16, "weight"}, {number16, "port"}, {domain, "target"}},
	dns.TypeSOA:        {{domain, "primary server"}, {domain, "mailbox"}, {number32, "serial"}, {seconds, "refresh"}, {seconds, "retry"}, {seconds, "expire"}, {seconds, "minimum"}},
	dns.TypeTXT:        {{charStrings, "text"}},
	dns.TypeSPF:        {{charStrings, "text"}},
	dns.TypeCAA:        {{octet, "flags"}, {word, "tag"}, {longText, "value"}},
	dns.TypeURI:        {{number16, "priority"}, {number16, "weight"}, {longText, "target"}},
	dns.TypeNAPTR:      {{number16, "order"}, {number16, "preference"}, {charString, "flags"}, {charString, "services"}, {charString, "regexp"}, {domain, "replacement"}},
	dns.TypeSSHFP:      {{octet, "algorithm"}, {octet, "fingerprint type"}, {hexData, "fingerprint"}},
	dns.TypeTLSA:       {{octet, "certificate usage"}, {octet, "selector"}, {octet, "matching type"}, {hexData, "certificate association data"}},
	dns.TypeSMIMEA:     {{octet, "certificate usage"}, {octet, "selector"}, {octet, "matching type"}, {hexData, "certificate association data"}},
	dns.TypeDS:         {{number16, "key tag"}, {algorithm, "algorithm"}, {octet, "digest type"}, {hexData, "digest"}},
	dns.TypeCDS:        {{number16, "key tag"}, {algorithm, "algorithm"}, {octet, "digest type"}, {hexData, "digest"}},
	dns.TypeDNSKEY:     {{number16, "flags"}, {octet, "protocol"}, {algorithm, "algorithm"}, {base64Data, "public key"}},
	dns.TypeCDNSKEY:    {{number16, "flags"}, {octet, "protocol"}, {algorithm, "algorithm"}, {base64Data, "public key"}},
	dns.TypeRRSIG:      {{coveredType, "type covered"}, {algorithm, "algorithm"}, {octet, "labels"}, {seconds, "original TTL"}, {instant, "expiration"}, {instant, "inception"}, {number16, "key tag"}, {domain, "signer's name"}, {base64Data, "signature"}},
	dns.TypeNSEC:       {{domain, "next name"}, {typeBitmap, "types"}},
	dns.TypeNSEC3:      {{octet, "hash algorithm"}, {octet, "flags"}, {number16, "iterations"}, {salt, "salt"}, {base32Hash, "next hashed owner"}, {typeBitmap, "types"}},
	dns.TypeNSEC3PARAM: {{octet, "hash algorithm"}, {octet, "flags"}, {number16, "iterations"}, {salt, "salt"}},
	dns.TypeZONEMD:     {{number32, "serial"}, {octet, "scheme"}, {octet, "hash algorithm"}, {hexData, "digest"}},
	dns.TypeOPENPGPKEY: {{base64Data, "key"}},
	dns.TypeDHCID:      {{base64Data, "digest"}},
}

var aliasLayout = []field{{domain, "target"}}

// layoutOf gives the layout of a type, nil: the library reads it.
func layoutOf(rrtype uint16) []field {
	switch {
	case int(rrtype) < len(layouts):
		return layouts[rrtype]
	case rrtype == TypeALIAS:
		return aliasLayout
	}
	return nil
}
