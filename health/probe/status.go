package probe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Status is a range of HTTP status codes, both ends within. It is written as
// "200-299", "404" or the number 404.
type Status struct{ From, To int }

// UnmarshalText reads "200-299" or "404".
func (s *Status) UnmarshalText(text []byte) error {
	from, to, ranged := strings.Cut(string(text), "-")
	if !ranged {
		to = from
	}
	a, err1 := strconv.ParseUint(from, 10, 16)
	b, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil {
		return fmt.Errorf(`must be a status code or a range of them, such as 404 or "200-299"`)
	}
	*s = Status{int(a), int(b)}
	return nil
}

// UnmarshalNumber reads 404.
func (s *Status) UnmarshalNumber(n int64) error {
	if n < 0 || n > 999 {
		return fmt.Errorf("must be 100 to 599")
	}
	*s = Status{int(n), int(n)}
	return nil
}

// String is the range as it is written.
func (s Status) String() string {
	if s.From == s.To {
		return strconv.Itoa(s.From)
	}
	return fmt.Sprintf("%d-%d", s.From, s.To)
}

// statuses are the wanted ones; none: 200 to 399.
type statuses []Status

func (l statuses) has(code int) bool {
	if len(l) == 0 {
		return 200 <= code && code <= 399
	}
	return slices.ContainsFunc(l, func(s Status) bool { return s.From <= code && code <= s.To })
}

// String is the statuses in words.
func (l statuses) String() string {
	if len(l) == 0 {
		return "200-399"
	}
	words := make([]string, len(l))
	for i, s := range l {
		words[i] = s.String()
	}
	return strings.Join(words, ", ")
}

func sortedStatuses(l []Status) statuses {
	return slices.SortedFunc(slices.Values(l), func(a, b Status) int { return a.From - b.From })
}
