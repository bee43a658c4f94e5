package health

import (
	"errors"
	"strconv"
	"strings"
)

// Quorum is how many of the votes that count must say Down to take a site out: a
// share of them, or a number, which is all of them where fewer vantage points
// live. The zero Quorum is more than half.
type Quorum struct {
	Share float64 // 0 to 1; 0: see Count
	Count int     // 0: see Share
}

// UnmarshalText reads "2", "0.5" or "50%".
func (q *Quorum) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if percent, ok := strings.CutSuffix(s, "%"); ok {
		x, err := strconv.ParseFloat(strings.TrimSpace(percent), 64)
		if err != nil {
			return errors.New(quorumWanted)
		}
		return q.UnmarshalFraction(x / 100)
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return q.UnmarshalNumber(n)
	}
	x, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return errors.New(quorumWanted)
	}
	return q.UnmarshalFraction(x)
}

// UnmarshalNumber reads a number of votes.
func (q *Quorum) UnmarshalNumber(n int64) error {
	if n < 1 || n > 1000 {
		return errors.New(quorumWanted)
	}
	*q = Quorum{Count: int(n)}
	return nil
}

// UnmarshalFraction reads a share of the votes.
func (q *Quorum) UnmarshalFraction(x float64) error {
	if !(x > 0 && x <= 1) {
		return errors.New(quorumWanted)
	}
	*q = Quorum{Share: x}
	return nil
}

const quorumWanted = `must be how many vantage points have to say down, such as 2, or the share of those alive, such as 0.5 or "100%"`

// String is the quorum as it is written.
func (q Quorum) String() string {
	switch {
	case q.Count > 0:
		return strconv.Itoa(q.Count)
	case q.Share > 0:
		return strconv.FormatFloat(100*q.Share, 'g', 4, 64) + "%"
	}
	return "more than half"
}
