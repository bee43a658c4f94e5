package zones

import (
	"bytes"
	"fmt"
	"strconv"
)

// maxGenerate bounds how many records one $GENERATE makes.
const maxGenerate = 1 << 16

// made is the place of a $GENERATE, and the value it is at.
type made struct {
	line, column int
	value        int64
}

// of tells, in a message, which of the records is meant.
func (m *made) of() string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("$GENERATE at %d: ", m.value)
}

// generate makes records of a template, as BIND does: $GENERATE
// start-stop[/step] owner [TTL] [class] type data, where $ is the value and
// ${offset,width,base} the value as it is wanted; \$ and $$ are the character.
func (f *masterFile) generate(args []token) bool {
	first, last, step, flaw := generateRange(f.raw(args[0]))
	if flaw != "" {
		return f.fail(args[0].start, "%q %s", f.raw(args[0]), flaw)
	}
	var template []byte
	for i, t := range args[1:] {
		if i > 0 && !touch(args[i], t) {
			template = append(template, ' ')
		}
		template = f.appendRaw(template, t)
	}
	parts, flaw := splitTemplate(template)
	if flaw == "" {
		flaw = parts.check(first, last)
	}
	if flaw != "" {
		return f.fail(args[1].start, "%s", flaw)
	}
	// The lines are read in this file's state, but leave none behind.
	sub := &masterFile{master: f.master, name: f.name, origin: f.origin, ttl: f.ttl, ttlFrom: f.ttlFrom, noTTL: f.noTTL}
	sub.made = &made{value: first}
	sub.made.line, sub.made.column = f.place(f.tokens[0].start)
	var line []byte
	for v := first; v <= last; v += step {
		sub.made.value = v
		line = parts.appendTo(line[:0], v)
		sub.take(line)
		sub.rrtype = 0
		if sub.entry() && sub.flaw != nil {
			return sub.fail(sub.flawAt, "%v", sub.flaw)
		}
		if !sub.record() {
			return false // once, not for each value
		}
	}
	return true
}

// generateRange reads start-stop or start-stop/step.
func generateRange(s []byte) (first, last, step int64, flaw string) {
	const want = "is not a range, such as 1-20 or 0-254/2"
	span, stride, stepped := bytes.Cut(s, []byte("/"))
	from, to, ok := bytes.Cut(span, []byte("-"))
	a, okA := decimal(from, 1<<31-1)
	b, okB := decimal(to, 1<<31-1)
	c, okC := uint64(1), true
	if stepped {
		c, okC = decimal(stride, 1<<31-1)
	}
	switch {
	case !ok || !okA || !okB || !okC || c == 0:
		return 0, 0, 0, want
	case b < a:
		return 0, 0, 0, "is a range that ends before it starts"
	case (b-a)/c >= maxGenerate:
		return 0, 0, 0, fmt.Sprintf("makes %d records: at most %d in one $GENERATE", (b-a)/c+1, maxGenerate)
	}
	return int64(a), int64(b), int64(c), ""
}

// part is a piece of a template: a text, and then a value if base is not 0.
type part struct {
	text   []byte
	offset int64
	width  int
	base   byte // d, o, x, X, or n and N for nibbles in reverse order
}

type template []part

// splitTemplate finds the values in a template.
func splitTemplate(s []byte) (template, string) {
	var parts template
	var text []byte
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			text = append(text, s[i], s[i+1]) // \$ means the same in the line that is made
			i++
		case s[i] != '$':
			text = append(text, s[i])
		case i+1 < len(s) && s[i+1] == '$':
			text = append(text, '\\', '$')
			i++
		default:
			p := part{text: text, base: 'd'}
			text = nil
			if i+1 < len(s) && s[i+1] == '{' {
				end := bytes.IndexByte(s[i:], '}')
				if end < 0 {
					return nil, fmt.Sprintf("%q: the } is missing", s[i:])
				}
				if !p.modify(string(s[i+2 : i+end])) {
					return nil, fmt.Sprintf("%q is not ${offset,width,base}, with base d, o, x, X, n or N and a width up to 255", s[i:i+end+1])
				}
				i += end
			}
			parts = append(parts, p)
		}
	}
	return append(parts, part{text: text}), ""
}

// modify reads offset[,width[,base]].
func (p *part) modify(s string) bool {
	words := bytes.Split([]byte(s), []byte(","))
	for i := range words {
		words[i] = bytes.TrimSpace(words[i])
	}
	var err error
	if p.offset, err = strconv.ParseInt(string(words[0]), 10, 32); err != nil || len(words) > 3 {
		return false
	}
	if len(words) > 1 {
		width, ok := decimal(words[1], 255)
		if p.width = int(width); !ok {
			return false
		}
	}
	if len(words) > 2 {
		if len(words[2]) != 1 || bytes.IndexByte([]byte("doxXnN"), words[2][0]) < 0 {
			return false
		}
		p.base = words[2][0]
	}
	return true
}

// check tells whether all values are ones that can be written.
func (t template) check(first, last int64) string {
	for _, p := range t {
		if p.base != 0 && (first+p.offset < 0 || last+p.offset > 1<<31-1) {
			return fmt.Sprintf("${%d}: with this offset, %d to %d become %d to %d: 0 to 2147483647", p.offset, first, last, first+p.offset, last+p.offset)
		}
	}
	return ""
}

// appendTo appends the line for a value.
func (t template) appendTo(dst []byte, value int64) []byte {
	for _, p := range t {
		dst = append(dst, p.text...)
		v := value + p.offset
		switch p.base {
		case 'd':
			dst = fmt.Appendf(dst, "%0*d", p.width, v)
		case 'o':
			dst = fmt.Appendf(dst, "%0*o", p.width, v)
		case 'x':
			dst = fmt.Appendf(dst, "%0*x", p.width, v)
		case 'X':
			dst = fmt.Appendf(dst, "%0*X", p.width, v)
		case 'n':
			dst = appendNibbles(dst, p.width, v, "0123456789abcdef")
		case 'N':
			dst = appendNibbles(dst, p.width, v, "0123456789ABCDEF")
		}
	}
	return dst
}

// appendNibbles appends a value as ip6.arpa names have it: hexadecimal digits,
// the last one first, dots between them, in a width that counts the dots.
func appendNibbles(dst []byte, width int, v int64, digits string) []byte {
	for {
		dst = append(dst, digits[v&15])
		v >>= 4
		width--
		if v == 0 && width <= 0 {
			return dst
		}
		dst = append(dst, '.')
		width--
		if v == 0 && width <= 0 {
			return dst
		}
	}
}
