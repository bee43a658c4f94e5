package steer

import "fmt"

// pickNames holds the word for each Pick, as configuration writes it.
var pickNames = [...]string{
	Nearest:    "nearest",
	Weighted:   "weighted",
	RoundRobin: "round-robin",
	Hash:       "hash",
	Load:       "load",
	Latency:    "latency",
}

// String returns the word that configuration uses for the pick.
func (p Pick) String() string {
	if int(p) < len(pickNames) {
		return pickNames[p]
	}
	return fmt.Sprintf("Pick(%d)", uint8(p))
}

// ParsePick is the inverse of String. Its error is an [*UnknownError].
func ParsePick(s string) (Pick, error) {
	for i, name := range pickNames {
		if s == name {
			return Pick(i), nil
		}
	}
	return 0, &UnknownError{What: "pick", Name: s, Known: pickNames[:]}
}

// MarshalText implements [encoding.TextMarshaler].
func (p Pick) MarshalText() ([]byte, error) {
	if int(p) >= len(pickNames) {
		return nil, fmt.Errorf("%v is not a pick", p)
	}
	return []byte(pickNames[p]), nil
}

// UnmarshalText implements [encoding.TextUnmarshaler].
func (p *Pick) UnmarshalText(b []byte) error {
	v, err := ParsePick(string(b))
	if err == nil {
		*p = v
	}
	return err
}
