package health

import "fmt"

// stateNames has the text form of each State, at its index.
var stateNames = [...]string{Unknown: "unknown", Up: "up", Degraded: "degraded", Down: "down"}

// String is the text form, "state(9)" for a value that is none of the constants.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// MarshalText implements [encoding.TextMarshaler]; a State that is none of the
// constants is an error.
func (s State) MarshalText() ([]byte, error) {
	if int(s) < len(stateNames) {
		return []byte(stateNames[s]), nil
	}
	return nil, fmt.Errorf("health: state %d: must be 0 to %d", uint8(s), len(stateNames)-1)
}

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes exactly what
// MarshalText writes.
func (s *State) UnmarshalText(text []byte) error {
	for i, name := range stateNames {
		if string(text) == name {
			*s = State(i)
			return nil
		}
	}
	return fmt.Errorf("health: state %.40q: must be unknown, up, degraded or down", text)
}

// Past says of the order what was done, such as "drained".
func (k OverrideKind) Past() string {
	switch k {
	case Drain:
		return "drained"
	case ForceUp:
		return "forced up"
	case ForceDown:
		return "forced down"
	case Share:
		return "given a share of its users"
	}
	return "overridden (" + string(k) + ")"
}
