package zones

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// readGeneric reads data of any type as \# LENGTH HEX (RFC 3597, section 5).
func (f *masterFile) readGeneric(fields []token) bool {
	if len(fields) < 2 {
		return f.fail(f.end(), `data as \# LENGTH HEX: the length is missing`)
	}
	size, ok := decimal(f.raw(fields[1]), 1<<16-1)
	if !ok {
		return f.fail(fields[1].start, `length %q behind \# is not a number from 0 to 65535`, f.raw(fields[1]))
	}
	f.scratch = f.scratch[:0]
	for _, t := range fields[2:] {
		f.scratch = append(f.scratch, f.raw(t)...)
	}
	data, err := hex.AppendDecode(f.data, f.scratch)
	if err != nil {
		return f.fail(fields[1].end, `the data behind \# %d are not hexadecimal, two digits for each octet: %v`, size, err)
	}
	if uint64(len(data)) != size {
		return f.fail(fields[1].start, `\# announces %d octets, but %d follow`, size, len(data))
	}
	f.data = data
	_, known := dns.TypeToRR[f.rrtype]
	if _, shaped := dataShapes[f.rrtype]; known && !shaped && f.rrtype != dns.TypeNULL {
		return f.readOther(fields) // which makes sure that it is data of the type
	}
	if err := checkData(f.rrtype, data); err != nil {
		return f.failRecord(fmt.Errorf("%s %s %w", dnsname.Format(f.owner), dns.Type(f.rrtype), err))
	}
	return true
}

// readOther has the library read the data of a type that has no layout here,
// as one line of its own, so that nothing of the file around it matters.
func (f *masterFile) readOther(fields []token) bool {
	if _, known := dns.TypeToRR[f.rrtype]; !known && len(fields) > 0 && string(f.raw(fields[0])) != `\#` {
		return f.fail(fields[0].start, `data of a type without a name are written as \# LENGTH HEX (RFC 3597, section 5), not %q`, f.raw(fields[0]))
	}
	if len(fields) == 0 && f.rrtype != dns.TypeAPL {
		return f.fail(f.end(), "the data are missing")
	}
	line := fmt.Appendf(nil, ". 0 IN %s", dns.Type(f.rrtype))
	ends := make([]int, len(fields)) // where each field ends in line
	for i, t := range fields {
		if i == 0 || !touch(fields[i-1], t) {
			line = append(line, ' ')
		}
		line = f.appendRaw(line, t)
		ends[i] = len(line)
	}
	zp := dns.NewZoneParser(bytes.NewReader(append(line, '\n')), dnsname.Format(f.origin), "")
	rr, ok := zp.Next()
	if ok && zp.Err() == nil {
		if _, again := zp.Next(); again {
			ok = false
		}
	}
	err := zp.Err()
	if err == nil && !ok {
		err = errors.New("not one record")
	}
	if err != nil {
		at, what := f.libraryFault(err, fields, ends)
		return f.fail(at, "%s", what)
	}
	if f.data, err = rdata(rr); err != nil {
		return f.failRecord(fmt.Errorf("%s %s %w", dnsname.Format(f.owner), dns.Type(f.rrtype), err))
	}
	return true
}

// touch tells whether nothing stands between two fields, as in alpn="h2,h3",
// where the value belongs to its key (RFC 9460, section 2.1).
func touch(a, b token) bool {
	gap := b.start - a.end
	if a.quoted {
		gap--
	}
	if b.quoted {
		gap--
	}
	return gap == 0
}

// appendRaw appends a field as it was written.
func (f *masterFile) appendRaw(dst []byte, t token) []byte {
	if !t.quoted {
		return append(dst, f.raw(t)...)
	}
	return append(append(append(dst, '"'), f.raw(t)...), '"')
}

// libraryError is how the library words a fault: dns: WHAT: "TOKEN" at line: LINE:COLUMN.
var libraryError = regexp.MustCompile(`^dns: (.*) at line: \d+:(\d+)$`)

// libraryFault tells where the fault stands that the library found, and in what words.
func (f *masterFile) libraryFault(err error, fields []token, ends []int) (at int, what string) {
	m := libraryError.FindStringSubmatch(err.Error())
	if m == nil || len(fields) == 0 {
		return f.end(), strings.TrimPrefix(err.Error(), "dns: ")
	}
	for _, nothing := range []string{`: ""`, `: " "`, `: "\n"`} {
		if before, ok := strings.CutSuffix(m[1], nothing); ok {
			return f.end(), before + ": nothing stands there"
		}
	}
	column, _ := strconv.Atoi(m[2])
	for i, end := range ends {
		if column <= end+1 { // the library counts to behind the field
			return fields[i].start, m[1]
		}
	}
	return f.end(), m[1]
}
