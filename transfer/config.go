package transfer

import (
	"fmt"
	"iter"
	"net/netip"
)

// Key is [tsig.NAME] of the configuration: a secret shared with other servers or
// with clients (RFC 8945). NAME is the key's name, a domain name.
type Key struct {
	Algorithm  string `toml:"algorithm"`   // "hmac-sha256" (default) or another of algorithms
	Secret     string `toml:"secret"`      // in base64
	SecretFile string `toml:"secret_file"` // a file with it, instead
}

// Zone is what [[zone]] of the configuration says of how the zone moves. The zero
// Zone does not.
type Zone struct {
	TransferTo []Allow  `toml:"transfer_to"` // who may have the zone by AXFR and IXFR
	Notify     []Peer   `toml:"notify"`      // who is told that it has changed
	Primaries  []Peer   `toml:"primaries"`   // where it comes from; the zone has no file of its own then
	NotifyFrom []Allow  `toml:"notify_from"` // who may tell that it has changed, besides the primaries
	Update     []Update `toml:"update"`      // who may change what by UPDATE
	// ForwardUpdates are those whose UPDATE a secondary passes on to its primary.
	ForwardUpdates []Allow `toml:"forward_updates"`
	// MaxRecords bounds what a transfer may bring; 0: defaultMaxRecords.
	MaxRecords int `toml:"max_records"`
	// Steered is what a transfer says of steered names: "default", the answer for
	// a client of whom nothing is known, or "omit".
	Steered string `toml:"steered"`
	// Catalog is "producer" for a zone that lists the zones whose MemberOf names
	// it, and "consumer" for one that is transferred, and whose members are served.
	Catalog  string `toml:"catalog"`
	MemberOf string `toml:"member_of"`
	Group    string `toml:"group"` // of a member (RFC 9432, section 4.3.2)
	// Member is how the members of a consumer move.
	Member Member `toml:"member"`
}

// Member is [zone.member]: how the members of a catalog move that this server
// consumes.
type Member struct {
	Primaries  []Peer  `toml:"primaries"` // default: those of the catalog
	TransferTo []Allow `toml:"transfer_to"`
	Notify     []Peer  `toml:"notify"`
	NotifyFrom []Allow `toml:"notify_from"`

	ForwardUpdates []Allow `toml:"forward_updates"`
}

// Peer is another server.
type Peer struct {
	Address string `toml:"address"` // IP address, or address:port; the port's default is 53
	Key     string `toml:"key"`     // of [tsig.NAME] to sign with; empty: none
	Source  string `toml:"source"`  // the IP address to speak from; empty: what the system takes

	// TLS is TLSStrict or TLSOpportunistic for TLS (RFC 9103), by default to port 853;
	// empty: none. TLSName is the name in its certificate, TLSCA the PEM file of whom
	// to trust, instead of those that the system does, TLSPins are public keys that
	// it may have.
	TLS     string   `toml:"tls"`
	TLSName string   `toml:"tls_name"`
	TLSCA   string   `toml:"tls_ca"`
	TLSPins []string `toml:"tls_pins"`
}

// Allow is who may do something: whoever is in the network, where one is given,
// and signs with the key, where one is given.
type Allow struct {
	Network netip.Prefix `toml:"network"`
	Key     string       `toml:"key"`
	TLS     bool         `toml:"tls"` // over TLS 1.3 or QUIC alone (RFC 9103)
}

// Update is [[zone.update]]: what somebody may change by UPDATE. Of several that
// name the same one each allows what it says.
type Update struct {
	Network netip.Prefix `toml:"network"`
	Key     string       `toml:"key"`
	// Names may be changed themselves; a label "*" stands for any one label.
	Names []string `toml:"names"`
	// Below are names that may be changed with all that is below them. Without
	// Names and Below it is the whole zone.
	Below []string `toml:"below"`
	// Types are the types of records that may be changed; empty: all but those at
	// which the zone hangs (SOA, NS at its apex) and those of signing.
	Types []string `toml:"types"`
}

// The words of Zone.
const (
	SteeredDefault = "default"
	SteeredOmit    = "omit"
	Producer       = "producer"
	Consumer       = "consumer"
)

// defaultMaxRecords is what a primary may send that nobody has said more of: some two
// gigabytes of memory while they come. One that never ends must not take all there is.
const defaultMaxRecords = 10_000_000

func (z *Zone) mostRecords() int {
	if z.MaxRecords > 0 {
		return z.MaxRecords
	}
	return defaultMaxRecords
}

// Peers gives all other servers that the zone names, each with its key.
func (z *Zone) Peers() iter.Seq2[string, *Peer] {
	return func(yield func(string, *Peer) bool) {
		for _, l := range []struct {
			key  string
			list []Peer
		}{{"primaries", z.Primaries}, {"notify", z.Notify}, {"member.primaries", z.Member.Primaries}, {"member.notify", z.Member.Notify}} {
			for i := range l.list {
				if !yield(fmt.Sprintf("%s[%d]", l.key, i), &l.list[i]) {
					return
				}
			}
		}
	}
}

// Moves tells whether anything is said of how the zone moves.
func (z *Zone) Moves() bool {
	return len(z.TransferTo)+len(z.Notify)+len(z.Primaries)+len(z.Update) > 0 || z.Catalog != "" || z.MemberOf != ""
}

// HasFile tells whether the zone's records come from a master file.
func (z *Zone) HasFile() bool { return len(z.Primaries) == 0 && z.Catalog != Producer }
