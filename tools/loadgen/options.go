package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// options is the command line, checked.
type options struct {
	Server   string // host:port
	TCP      bool
	Duration time.Duration
	Timeout  time.Duration
	Rate     float64 // queries per second over all sockets; 0: as fast as the windows allow
	Inflight int     // outstanding queries of one socket
	Sockets  int
	PerConn  int // queries of one TCP connection, before it is closed for a new one; 0: no end
	Seed     uint64

	Name     string
	Type     uint16
	Names    string // "", "random-nx", or a file of "name type" lines
	ECS      ecsMode
	Subnet   netip.Prefix   // with ecsFixed; with ecsFile the first of Subnets
	Subnets  []netip.Prefix // with ecsFile: one of them at random for each query
	EDNSSize uint16         // 0: no OPT record, unless ECS or DO needs one
	DO       bool

	Check     bool
	Rcode     int // expected with Check
	Answers   int // least number of answer records with Check; answers other than NOERROR need none
	Authority int // least number of authority records with Check
	Match     *regexp.Regexp
	MaxLoss   float64 // share, above which the exit code is 1

	JSON bool
}

// ecsMode says which client subnet option (RFC 7871) goes with each query.
type ecsMode uint8

const (
	ecsNone    ecsMode = iota
	ecsFixed           // the same prefix every time
	ecsRandom4         // a random IPv4 /24
	ecsRandom6         // a random IPv6 /56 out of 2000::/3
	ecsFile            // a random one of a file's prefixes
)

// maxInflight keeps an id from being used again while a late answer to its last
// use may still come: slots are a quarter of the 65536 ids at most.
const maxInflight = 1 << 14

// parseOptions reads the command line. Its usage text goes to out on -h, which
// gives flag.ErrHelp.
func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("loadgen", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.Server, "server", "127.0.0.1:5353", "`address` to ask, host:port")
	fs.BoolVar(&o.TCP, "tcp", false, "ask over TCP, with pipelining")
	fs.DurationVar(&o.Duration, "duration", 5*time.Second, "how long to send")
	fs.DurationVar(&o.Timeout, "timeout", time.Second, "an answer later than this is a loss")
	rate := fs.String("rate", "max", "queries per second over all sockets, a `number` or max")
	fs.IntVar(&o.Inflight, "inflight", 100, "outstanding queries for each socket")
	fs.IntVar(&o.Sockets, "sockets", 2, "sockets (TCP: connections), each with its own source port")
	fs.IntVar(&o.PerConn, "per-connection", 0, "with -tcp: `queries` of one connection, before it is closed and a new one made; 0: one connection for all")
	fs.Uint64Var(&o.Seed, "seed", 1, "of the random subnets and names: the same seed asks the same questions")

	fs.StringVar(&o.Name, "name", "www.abc.com", "owner `name` to ask for")
	qtype := fs.String("type", "A", "record `type` to ask for")
	fs.StringVar(&o.Names, "names", "", "random-nx asks for random names below -name; anything else is a `file` of \"name type\" lines, asked in turn; with a third word, the rcode to expect")
	ecs := fs.String("ecs", "none", "client subnet: none, random4, random6, a `prefix` such as 203.0.113.0/24, or @file: a random one of the file's prefixes, which have one length")
	size := fs.Uint("edns", 1232, "EDNS payload `size`; 0 sends no OPT record unless -ecs or -do needs one")
	fs.BoolVar(&o.DO, "do", false, "set the DO flag (DNSSEC answers)")

	fs.BoolVar(&o.Check, "check", false, "verify question, rcode, number of answers and client subnet of every answer; exit code 1 when one differs")
	rcode := fs.String("rcode", "", "with -check: `rcode` to expect (default NOERROR; NXDOMAIN with -names random-nx)")
	fs.IntVar(&o.Answers, "answers", 0, "with -check: least `number` of records in the answer section of a NOERROR answer")
	fs.IntVar(&o.Authority, "authority", 0, "with -check: least `number` of records in the authority section")
	match := fs.String("match", "", "with -check: `regexp` that some answer record in presentation form must match (slower)")
	fs.Float64Var(&o.MaxLoss, "max-loss", 1, "exit code 1 when more than this `share` of the queries (0 to 1) got no answer")
	fs.BoolVar(&o.JSON, "json", false, "print the report as JSON")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: everything is a flag, see -h", fs.Arg(0))
	}
	if size := *size; size > math.MaxUint16 {
		return o, fmt.Errorf("-edns %d: must be at most 65535", size)
	}
	o.EDNSSize = uint16(*size)
	return o, errors.Join(o.setRate(*rate), o.setType(*qtype), o.setECS(*ecs), o.setRcode(*rcode), o.setMatch(*match), o.checkRanges())
}

func (o *options) setRate(s string) error {
	if s == "max" {
		return nil
	}
	rate, err := strconv.ParseFloat(s, 64)
	if err != nil || !(rate > 0) || math.IsInf(rate, 0) {
		return fmt.Errorf("-rate %q: must be a number above 0, or max", s)
	}
	o.Rate = rate
	return nil
}

func (o *options) setType(s string) error {
	t, ok := parseType(s)
	if !ok {
		return fmt.Errorf("-type %q: not a record type", s)
	}
	o.Type = t
	return nil
}

func (o *options) setECS(s string) error {
	switch s {
	case "none":
		o.ECS = ecsNone
	case "random4":
		o.ECS = ecsRandom4
	case "random6":
		o.ECS = ecsRandom6
	default:
		if file, ok := strings.CutPrefix(s, "@"); ok {
			return o.readSubnets(file)
		}
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return fmt.Errorf("-ecs %q: must be none, random4, random6, a prefix such as 203.0.113.0/24, or @file", s)
		}
		o.ECS, o.Subnet = ecsFixed, p.Masked()
	}
	return nil
}

// readSubnets reads prefixes, one a line, which must have one family and length:
// then they fit into one prepared query.
func (o *options) readSubnets(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("-ecs: %w", err)
	}
	line := 0
	for field := range strings.Lines(string(text)) {
		line++
		p, err := netip.ParsePrefix(strings.TrimSpace(field))
		if err != nil {
			return fmt.Errorf("-ecs: %s:%d: %q: must be a prefix such as 203.0.113.0/24", file, line, strings.TrimSpace(field))
		}
		if len(o.Subnets) > 0 && (p.Bits() != o.Subnets[0].Bits() || p.Addr().Is4() != o.Subnets[0].Addr().Is4()) {
			return fmt.Errorf("-ecs: %s:%d: %s: must be of the same family and length as %s", file, line, p, o.Subnets[0])
		}
		o.Subnets = append(o.Subnets, p.Masked())
	}
	if len(o.Subnets) == 0 {
		return fmt.Errorf("-ecs: %s: holds no prefixes", file)
	}
	o.ECS, o.Subnet = ecsFile, o.Subnets[0]
	return nil
}

func (o *options) setRcode(s string) error {
	o.Rcode = dns.RcodeSuccess
	if s == "" {
		if o.Names == randomNX {
			o.Rcode = dns.RcodeNameError
		}
		return nil
	}
	rcode, ok := parseRcode(s)
	if !ok {
		return fmt.Errorf("-rcode %q: must be one such as NOERROR, NXDOMAIN or REFUSED", s)
	}
	o.Rcode = rcode
	return nil
}

func (o *options) setMatch(s string) error {
	if s == "" {
		return nil
	}
	re, err := regexp.Compile(s)
	if err != nil {
		return fmt.Errorf("-match %q: %w", s, err)
	}
	o.Match = re
	return nil
}

func (o *options) checkRanges() error {
	var errs []error
	if o.Inflight < 1 || o.Inflight > maxInflight {
		errs = append(errs, fmt.Errorf("-inflight %d: must be 1 to %d", o.Inflight, maxInflight))
	}
	if o.Sockets < 1 || o.Sockets > 1000 {
		errs = append(errs, fmt.Errorf("-sockets %d: must be 1 to 1000", o.Sockets))
	}
	if o.Duration <= 0 {
		errs = append(errs, fmt.Errorf("-duration %v: must be above 0", o.Duration))
	}
	if o.Timeout < time.Millisecond {
		errs = append(errs, fmt.Errorf("-timeout %v: must be at least 1ms", o.Timeout))
	}
	if !(o.MaxLoss >= 0 && o.MaxLoss <= 1) {
		errs = append(errs, fmt.Errorf("-max-loss %v: must be 0 to 1", o.MaxLoss))
	}
	if !o.Check && (o.Match != nil || o.Answers != 0 || o.Authority != 0) {
		errs = append(errs, errors.New("-match, -answers and -authority: need -check"))
	}
	if o.PerConn < 0 || o.PerConn > 0 && !o.TCP {
		errs = append(errs, fmt.Errorf("-per-connection %d: must be 0 or more, and needs -tcp", o.PerConn))
	}
	return errors.Join(errs...)
}

// parseRcode reads an rcode that fits into the header (RFC 1035 section 4.1.1).
func parseRcode(s string) (int, bool) {
	rcode, ok := dns.StringToRcode[s]
	return rcode, ok && rcode <= 15
}

// parseType reads a record type, also in the form TYPE123 (RFC 3597).
func parseType(s string) (uint16, bool) {
	s = strings.ToUpper(s)
	if t, ok := dns.StringToType[s]; ok {
		return t, true
	}
	if rest, ok := strings.CutPrefix(s, "TYPE"); ok {
		n, err := strconv.ParseUint(rest, 10, 16)
		return uint16(n), err == nil
	}
	return 0, false
}
