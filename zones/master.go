package zones

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxErrors bounds how many faults of one master file are listed.
const maxErrors = 20

// ReadFile reads a zone from a master file; see Read.
func ReadFile(cfg Config) (*Zone, error) {
	f, err := os.Open(cfg.File)
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", cfg.Name, err)
	}
	defer f.Close()
	return Read(cfg, f)
}

// Read reads a zone in master file format (RFC 1035, section 5), with $TTL,
// $ORIGIN, $INCLUDE (relative to the file it stands in) and $GENERATE. All
// faults that are found come as one error, each with the file and, as near as
// the format lets it be known, the line.
func Read(cfg Config, r io.Reader) (*Zone, error) {
	origin, err := ParseName(cfg.Name)
	if err != nil {
		return nil, fmt.Errorf("zone %s: %w", cfg.Name, err)
	}
	z := &Zone{File: cfg.File, apex: key(origin), nodes: make(map[string]*node)}
	z.Name = FormatName([]byte(z.apex))
	z.labels = labels(z.apex)
	m := master{zone: z, build: &builder{zone: z}, lines: &lineReader{r: bufio.NewReaderSize(r, 1<<16), line: 1}}
	m.read(dns.Fqdn(cfg.Name))
	if len(m.errs) == 0 {
		for _, e := range z.finish() {
			m.errs = append(m.errs, fmt.Errorf("zone %s: %s: %w", z.Name, cfg.File, e))
		}
		sortErrors(m.errs)
	}
	if len(m.errs) > maxErrors {
		m.errs = append(m.errs[:maxErrors], fmt.Errorf("zone %s: %s: and %d more", z.Name, cfg.File, len(m.errs)-maxErrors))
	}
	if len(m.errs) > 0 {
		return nil, errors.Join(m.errs...)
	}
	slices.Sort(z.Warnings)
	return z, nil
}

// master is the state of reading one master file.
type master struct {
	zone  *Zone
	build *builder
	lines *lineReader
	errs  []error
}

func (m *master) read(origin string) {
	zp := dns.NewZoneParser(m.lines, origin, m.zone.File)
	zp.SetIncludeAllowed(true)
	for rr, ok := zp.Next(); ok; rr, ok = zp.Next() {
		if err := m.add(rr); err != nil {
			m.fail(m.lines.last(), err)
			if len(m.errs) >= maxErrors {
				return
			}
		}
	}
	if err := zp.Err(); err != nil {
		m.errs = append(m.errs, fmt.Errorf("zone %s: %w", m.zone.Name, readable(err, m.zone.File)))
	}
	if m.lines.err != nil {
		m.errs = append(m.errs, fmt.Errorf("zone %s: %s: %w", m.zone.Name, m.zone.File, m.lines.err))
	}
}

// syntaxError is how the library words a fault: [FILE: ]dns: WHAT: "TOKEN" at line: LINE:COLUMN.
var syntaxError = regexp.MustCompile(`^(?:(.*?): )?dns: (.*) at line: (\d+:\d+)$`)

// readable puts the place of a syntax error in front, as in all other messages.
func readable(err error, file string) error {
	m := syntaxError.FindStringSubmatch(err.Error())
	if m == nil {
		return fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "dns: "))
	}
	if m[1] != "" {
		file = m[1] // an included one
	}
	return fmt.Errorf("%s:%s: %s", file, m[3], strings.Replace(m[2], ", not this...: ", ", not ", 1))
}

func (m *master) fail(line int, err error) {
	m.errs = append(m.errs, fmt.Errorf("zone %s: %s:%d: %w", m.zone.Name, m.zone.File, line, err))
}

// add gives a record to the builder in wire form.
func (m *master) add(rr dns.RR) error {
	h := rr.Header()
	if h.Name == "" {
		return fmt.Errorf("%s record without an owner name: only those behind one with a name can leave theirs out", dns.Type(h.Rrtype))
	}
	owner, err := ParseName(h.Name)
	if err != nil {
		return err
	}
	data, err := rdata(rr)
	if err != nil {
		return fmt.Errorf("%s %s %w", h.Name, dns.Type(h.Rrtype), err)
	}
	return m.build.add(record{owner: owner, rrtype: h.Rrtype, class: h.Class, ttl: h.Ttl, data: data, file: m.zone.File, line: m.lines.last()})
}

func sortErrors(errs []error) {
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
}

// lineReader counts lines as the parser takes bytes. The parser reads byte by
// byte from an io.ByteReader, so the count is that of the record it returns.
type lineReader struct {
	r    *bufio.Reader
	line int
	nl   bool // the last byte ended a line
	err  error
}

func (l *lineReader) ReadByte() (byte, error) {
	c, err := l.r.ReadByte()
	if err != nil {
		if err != io.EOF {
			l.err = err
		}
		return c, err
	}
	l.nl = c == '\n'
	if l.nl {
		l.line++
	}
	return c, nil
}

// Read is there for io.Reader; the parser uses ReadByte.
func (l *lineReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.line += bytes.Count(p[:n], []byte{'\n'})
	return n, err
}

// last is the line of the record that was read last.
func (l *lineReader) last() int {
	if l.nl {
		return l.line - 1
	}
	return l.line
}
