package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// dsText is the presentation form of a DS's or CDS's rdata (RFC 4034, section 5.3).
func dsText(rdata []byte) string {
	return fmt.Sprintf("%d %d %d %X", binary.BigEndian.Uint16(rdata), rdata[2], rdata[3], rdata[4:])
}

// dnskeyText is that of a DNSKEY's or CDNSKEY's (RFC 4034, section 2.2).
func dnskeyText(rdata []byte) string {
	return fmt.Sprintf("%d %d %d %s", binary.BigEndian.Uint16(rdata), rdata[2], rdata[3], base64.StdEncoding.EncodeToString(rdata[4:]))
}
