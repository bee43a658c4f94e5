package zones

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// textChunk is how much of a master file is held at once, in octets.
	textChunk = 64 << 10
	// maxEntry bounds one entry, in octets, so that a forgotten parenthesis
	// does not hold a whole file: the largest data, 65535 octets as \DDD, take
	// a quarter of that.
	maxEntry = 1 << 20
)

// token is one field of an entry: where it stands in text.buf, without quotes,
// its escapes as written.
type token struct {
	start, end int
	quoted     bool
	escaped    bool // it holds a backslash
}

// text gives the entries of a master file one after another (RFC 1035, section
// 5.1): what stands on a line, or on several that parentheses join, as tokens.
type text struct {
	r   io.Reader
	buf []byte // the part of the file that is held
	eof bool   // nothing comes after buf
	err error  // why reading ended before the end

	start int // of the entry in buf
	next  int // of the one after it
	line  int // that the entry starts on, from 1
	lines int // line breaks in it

	tokens []token
	blank  bool // the entry begins with white space: its owner is left out
	// flaw is what keeps the entry from being split into tokens, nil: nothing; flawAt is where.
	flaw   error
	flawAt int
}

// reset begins with another file; the buffers stay.
func (t *text) reset(r io.Reader) {
	if t.buf == nil {
		t.buf = make([]byte, 0, textChunk)
	}
	*t = text{r: r, buf: t.buf[:0], tokens: t.tokens[:0], line: 1}
}

// take makes the text of one entry that is in memory.
func (t *text) take(entry []byte) {
	*t = text{buf: entry, eof: true, tokens: t.tokens[:0], line: 1}
}

// entry goes to the next entry that is not empty; false: there is none.
func (t *text) entry() bool {
	for {
		t.start, t.line = t.next, t.line+t.lines
		t.lines = 0
		for !t.split() {
			if !t.fill() {
				return t.err == nil // with the flaw that it is too long
			}
		}
		if t.err != nil {
			return false
		}
		if len(t.tokens) > 0 || t.flaw != nil {
			return true
		}
		if t.start == t.next {
			return false
		}
	}
}

// fill takes more of the file, keeping what begins at the entry.
func (t *text) fill() bool {
	t.next -= t.start
	t.buf = t.buf[:copy(t.buf, t.buf[t.start:])]
	t.start = 0
	if len(t.buf) >= maxEntry {
		t.flaw, t.flawAt = fmt.Errorf("what begins here is longer than %d octets: is a ) missing?", maxEntry), 0
		t.tokens, t.eof, t.next = t.tokens[:0], true, len(t.buf)
		return false
	}
	held := len(t.buf)
	if held > cap(t.buf)/2 {
		t.buf = append(make([]byte, 0, 2*cap(t.buf)), t.buf...)
	}
	n, err := io.ReadFull(t.r, t.buf[held:cap(t.buf)])
	t.buf = t.buf[:held+n]
	switch {
	case err == nil:
	case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
		t.eof = true
	default:
		t.eof, t.err = true, err
	}
	if held == 0 && t.line == 1 && bytes.HasPrefix(t.buf, byteOrderMark) {
		t.start = len(byteOrderMark)
	}
	return true
}

// byteOrderMark is what some editors put in front of a file in UTF-8.
var byteOrderMark = []byte("\xef\xbb\xbf")

// inWord tells which octets go on with a field that has no quotes.
var inWord = func() (in [256]bool) {
	for i := range in {
		in[i] = true
	}
	for _, c := range " \t\r\n;()\"\\" {
		in[c] = false
	}
	return in
}()

// split finds the tokens of the entry at start, and where it ends; false: the
// buffer ends before it does.
func (t *text) split() bool {
	buf, i := t.buf, t.start
	t.tokens, t.flaw = t.tokens[:0], nil
	t.blank = i < len(buf) && (buf[i] == ' ' || buf[i] == '\t')
	lines, depth, opened := 0, 0, 0
	for {
		for i < len(buf) && (buf[i] == ' ' || buf[i] == '\t' || buf[i] == '\r') {
			i++
		}
		if i == len(buf) {
			if !t.eof {
				return false
			}
			if depth > 0 {
				t.spoil(opened, "this ( is never closed")
			}
			break
		}
		if buf[i] == '\n' {
			i++
			lines++
			if depth == 0 {
				break
			}
			continue
		}
		ok := true
		switch buf[i] {
		case ';':
			i, ok = t.lineEnd(i)
		case '(':
			if depth++; depth == 1 {
				opened = i
			}
			i++
		case ')':
			if depth--; depth < 0 {
				t.spoil(i, "this ) closes nothing")
				depth = 0
			}
			i++
		case '"':
			i, lines, ok = t.quoted(i, lines, depth > 0)
		default:
			i, ok = t.word(i)
		}
		if !ok {
			return false
		}
	}
	t.next, t.lines = i, lines
	return true
}

// spoil notes the first flaw of an entry.
func (t *text) spoil(at int, flaw string) {
	if t.flaw == nil {
		t.flaw, t.flawAt = errors.New(flaw), at
	}
}

// lineEnd gives where the line of i ends.
func (t *text) lineEnd(i int) (end int, ok bool) {
	if n := bytes.IndexByte(t.buf[i:], '\n'); n >= 0 {
		return i + n, true
	}
	return len(t.buf), t.eof
}

// word takes the token at i, which has no quotes.
func (t *text) word(i int) (end int, ok bool) {
	buf := t.buf
	tok := token{start: i}
	for {
		for i < len(buf) && inWord[buf[i]] {
			i++
		}
		if i == len(buf) {
			if !t.eof {
				return i, false
			}
			break
		}
		if buf[i] != '\\' {
			break
		}
		if i+1 == len(buf) && !t.eof {
			return i, false
		}
		if i+1 == len(buf) || buf[i+1] == '\n' || buf[i+1] == '\r' {
			t.spoil(i, `this \ ends the line: parentheses join lines, and \\ is the character itself`)
			i++
			break
		}
		tok.escaped = true
		i += 2
	}
	tok.end = i
	t.tokens = append(t.tokens, tok)
	return i, true
}

// quoted takes the token whose opening quote stands at i. Between parentheses
// it may hold line breaks.
func (t *text) quoted(i, lines int, joined bool) (end, newLines int, ok bool) {
	buf, open := t.buf, i
	tok := token{start: i + 1, quoted: true}
	for i++; i < len(buf); i++ {
		switch buf[i] {
		case '"':
			tok.end = i
			t.tokens = append(t.tokens, tok)
			return i + 1, lines, true
		case '\\':
			tok.escaped = true
			if i+1 < len(buf) && buf[i+1] != '\n' {
				i++
			}
		case '\n':
			if !joined {
				t.spoil(open, `the text that this " opens is not closed on the line: a line break in a text is written \010`)
				return i, lines, true
			}
			lines++
		}
	}
	if t.eof {
		t.spoil(open, `the text that this " opens is never closed`)
	}
	return len(buf), lines, t.eof
}

// place gives the line and the column, both from 1, of an offset within the entry.
func (t *text) place(at int) (line, column int) {
	before := t.buf[t.start:at]
	return t.line + bytes.Count(before, []byte{'\n'}), at - t.start - bytes.LastIndexByte(before, '\n')
}

// raw is a token as written.
func (t *text) raw(tok token) []byte { return t.buf[tok.start:tok.end] }
