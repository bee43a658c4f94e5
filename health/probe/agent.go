package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"gslb/health"
)

const maxAgentLine = 1024 // octets; what an agent says beyond is not waited for

// agentProber asks an agent in HAProxy's agent-check protocol (its configuration
// manual, "agent-check"): connect, send what is configured, read one line.
type agentProber struct {
	place
	exchange
}

func newAgent(c Config, _ Target, address string, _ *means) (Prober, error) {
	e, err := newExchange(c)
	return &agentProber{placeOf(c, address), e}, err
}

func (p *agentProber) Probe(ctx context.Context) (Seen, error) {
	a := begin(ctx, p.place)
	defer a.end()
	if err := a.connect("tcp"); err != nil {
		return Seen{}, err
	}
	if err := p.say(a); err != nil {
		return Seen{}, err
	}
	a.phase = listening
	line, err := readLine(a.conn)
	if err != nil {
		return Seen{}, a.fault(err)
	}
	s, err := parseAgent(line)
	if err != nil {
		return Seen{}, fmt.Errorf("answer from %s: %w", a.address, err)
	}
	return s, nil
}

// readLine reads up to a CR or LF, or the end of the stream.
func readLine(r io.Reader) (string, error) {
	line, chunk := []byte(nil), make([]byte, maxAgentLine)
	for {
		n, err := r.Read(chunk)
		line = append(line, chunk[:n]...)
		if i := bytes.IndexAny(line, "\r\n"); i >= 0 {
			return string(line[:i]), nil
		}
		switch {
		case len(line) >= maxAgentLine:
			return "", fmt.Errorf("no end of the line within %d octets", maxAgentLine)
		case errors.Is(err, io.EOF) && len(line) > 0:
			return string(line), nil
		case err != nil:
			return "", err
		}
	}
}

// reportOf is which reading the note of gslb's own agent tells of: words "seq=" and a
// number, "t=" and a Unix time. Other notes tell of none.
func reportOf(note string) (r Report) {
	for _, word := range strings.Fields(note) {
		if n, ok := strings.CutPrefix(word, "seq="); ok {
			r.Seq, _ = strconv.ParseUint(n, 10, 64)
		}
		if n, ok := strings.CutPrefix(word, "t="); ok {
			if t, err := strconv.ParseFloat(n, 64); err == nil && t > 0 && t < 1e11 {
				r.At = time.UnixMilli(int64(t * 1000))
			}
		}
	}
	return r
}

// parseAgent reads an agent's line, which may be anything: words with blanks or
// commas between them, and perhaps "#" and a text for people.
//
//	up, ready                 up, at once
//	down, failed, stopped     down, at once
//	drain, maint, 0%          no new users, at once: down
//	N%                        that share of the weight; healthy, by rise and fall
//	maxconn:N                 the most connections; likewise
//
// Of several, what takes it out wins, as in HAProxy a server in maintenance is not
// up whatever else is said.
func parseAgent(line string) (Seen, error) {
	words, note, _ := strings.Cut(line, "#")
	wish := Wish{Share: 1}
	s := Seen{Said: health.Unknown}
	known := 0
	for _, word := range strings.FieldsFunc(strings.ToLower(words), func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		switch {
		case word == "up" || word == "ready":
			if s.Said == health.Unknown {
				s.Said = health.Up
			}
		case word == "down" || word == "failed" || word == "stopped":
			s.Said = health.Down
		case word == "drain" || word == "maint":
			s.Said, wish.Drain = health.Down, true
		case strings.HasSuffix(word, "%"):
			n, err := strconv.ParseUint(strings.TrimSuffix(word, "%"), 10, 16)
			if err != nil || n > 25600 {
				return Seen{}, fmt.Errorf("%s: the share must be 0%% to 25600%%", excerpt([]byte(word)))
			}
			if wish.Share = float64(n) / 100; n == 0 {
				s.Said, wish.Drain = health.Down, true
			}
		case strings.HasPrefix(word, "maxconn:"):
			n, err := strconv.ParseUint(strings.TrimPrefix(word, "maxconn:"), 10, 31)
			if err != nil {
				return Seen{}, fmt.Errorf("%s: must be maxconn: and a number", excerpt([]byte(word)))
			}
			wish.Connections = int(n)
		default:
			return Seen{}, fmt.Errorf("%s: is no word of the agent-check protocol", excerpt([]byte(word)))
		}
		known++
	}
	if known == 0 {
		return Seen{}, fmt.Errorf("%s: says nothing", excerpt([]byte(line)))
	}
	if wish != (Wish{Share: 1}) {
		s.Wish = &wish
	}
	s.Report = reportOf(note)
	s.Detail = "agent: " + printable(strings.TrimSpace(words))
	if note = printable(strings.TrimSpace(note)); note != "" {
		s.Detail += " (" + note + ")"
	}
	return s, nil
}
