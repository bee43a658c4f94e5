package zones

import (
	"fmt"
	"io"
	"io/fs"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// maxFaults bounds how many faults of a zone's master files are told.
const maxFaults = 20

// sink takes what master files hold. An error of add tells what is wrong with
// the record; reading goes on.
type sink interface {
	add(record) error
	opened(path string, info fs.FileInfo)
}

// master reads the master file of a zone and those that it includes (RFC 1035,
// section 5). It can be used for one zone after another, and keeps its buffers.
type master struct {
	zone     string // for messages
	out      sink
	files    []*masterFile // by depth of $INCLUDE; depth of them are being read
	depth    int
	faults   []error
	more     bool // there are more faults than are told
	warnings []string

	data    []byte // of the record
	scratch []byte
	types   []uint16 // of a bitmap
}

// masterFile is the state of reading one file.
type masterFile struct {
	*master
	text
	name   string
	info   fs.FileInfo // nil: not known
	origin []byte      // wire form

	owner    []byte // of the last record, wire form; empty: none yet
	badOwner bool   // it could not be read, which has been told
	ttl      uint32 // of records without one of their own
	ttlFrom  ttlSource
	noTTL    bool // a record without any TTL has been told of

	rrtype uint16 // of the record whose data is being read; 0: none is
	made   *made  // set in lines that $GENERATE makes
}

// ttlSource tells where the TTL of records without one comes from.
type ttlSource uint8

const (
	ttlNone      ttlSource = iota
	ttlRecord              // the last record with one (RFC 1035, section 5.1)
	ttlDirective           // $TTL (RFC 2308, section 4)
)

// read reads a zone's master file from r, giving its records to out, and tells
// all faults and warnings in the order of the file.
func (m *master) read(zone, file string, origin []byte, r io.Reader, out sink) (warnings []string, faults []error) {
	m.zone, m.out, m.depth = zone, out, 0
	m.faults, m.more, m.warnings = nil, false, nil
	var info fs.FileInfo
	if s, ok := r.(interface{ Stat() (fs.FileInfo, error) }); ok {
		info, _ = s.Stat()
	}
	f := m.push(file, info, origin, r)
	f.run()
	return m.warnings, m.faults
}

// push begins with a file, which pop ends.
func (m *master) push(name string, info fs.FileInfo, origin []byte, r io.Reader) *masterFile {
	if m.depth == len(m.files) {
		m.files = append(m.files, &masterFile{master: m})
	}
	f := m.files[m.depth]
	m.depth++
	f.reset(r)
	*f = masterFile{master: m, text: f.text, name: name, info: info, origin: append(f.origin[:0], origin...), owner: f.owner[:0]}
	if info != nil {
		m.out.opened(name, info)
	}
	return f
}

func (m *master) pop() { m.depth-- }

// run reads the file to its end.
func (f *masterFile) run() {
	for !f.more && f.entry() {
		f.rrtype = 0
		switch {
		case f.flaw != nil:
			f.fail(f.flawAt, "%v", f.flaw)
		case !f.blank && !f.tokens[0].quoted && f.raw(f.tokens[0])[0] == '$':
			f.directive()
		default:
			f.record()
		}
	}
	if f.err != nil {
		f.fault("%s: %v", f.name, f.err)
	}
	f.pop()
}

// fault notes a fault; format begins with where it is.
func (m *master) fault(format string, args ...any) {
	switch {
	case m.more:
	case len(m.faults) == maxFaults:
		m.more = true
		m.faults = append(m.faults, fmt.Errorf("zone %s: more than %d faults: the rest is not told", m.zone, maxFaults))
	default:
		m.faults = append(m.faults, fmt.Errorf("zone %s: "+format, append([]any{m.zone}, args...)...))
	}
}

// fail notes a fault at an offset of the entry. It returns false, as what
// fails does.
func (f *masterFile) fail(at int, format string, args ...any) bool {
	line, column := f.place(at)
	what := ""
	if f.rrtype != 0 && len(f.owner) > 0 {
		what = fmt.Sprintf("%s %s: ", dnsname.Format(f.owner), dns.Type(f.rrtype))
	}
	if f.made != nil {
		line, column = f.made.line, f.made.column
	}
	f.fault("%s:%d:%d: %s%s%s", f.name, line, column, f.made.of(), what, fmt.Sprintf(format, args...))
	return false
}

// failRecord notes a fault of the record as a whole.
func (f *masterFile) failRecord(err error) bool {
	f.fault("%s:%d: %s%w", f.name, f.recordLine(), f.made.of(), err)
	return false
}

// warn notes what does not keep the zone from being served.
func (f *masterFile) warn(format string, args ...any) {
	f.warnings = append(f.warnings, fmt.Sprintf("zone %s: %s:%d: %s", f.zone, f.name, f.recordLine(), fmt.Sprintf(format, args...)))
}

// recordLine is the line that the record stands on.
func (f *masterFile) recordLine() int {
	if f.made != nil {
		return f.made.line
	}
	return f.line
}
