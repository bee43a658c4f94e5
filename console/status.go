package console

import (
	"time"

	"gslb/balancer"
	"gslb/bgp"
	"gslb/forecast"
	"gslb/health"
)

// HeldChange is a change that a node does not put in force, since it moves too much at once.
type HeldChange struct {
	What  string    `json:"what"` // "databases" or "topology"
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
	// Moved is the share of all users, 0 to 1, who would change their site, and Moves the
	// sites whose share would change most, at most MostMoves of them.
	Moved float64               `json:"moved"`
	Moves []forecast.SiteChange `json:"moves,omitempty"`
}

// MostMoves bounds HeldChange.Moves.
const MostMoves = 20

// HeldSites are sites that the breaker holds in service though they were judged down.
type HeldSites struct {
	Sites []string  `json:"sites"` // sorted
	Why   string    `json:"why"`   // what makes it too large
	Since time.Time `json:"since"`
	Until time.Time `json:"until"` // when it is let through, unless somebody does so before
}

// Audience are users for whom a site can be down alone, by the word of the vantage points among them.
type Audience struct {
	Name     string   `json:"name"`
	Who      string   `json:"who"`      // in words
	Min      int      `json:"min"`      // vantage points that must agree
	Vantages []string `json:"vantages"` // live nodes that stand for it, sorted
}

// Status is everything a person wants to know of a node and the fleet as the
// node sees it, at one moment. All fields may be empty: a node without the
// balancer role has no Frontends, one that serves no zone no Zones.
type Status struct {
	Node Node      `json:"node"`
	Now  time.Time `json:"now"` // by this node's clock; ages are counted from it

	// Revision is the store revision that the health in Sites was computed from.
	Revision int64 `json:"revision"`
	// Stale says that the store can't be reached: Sites are the last known (fail static).
	Stale bool `json:"stale"`

	// Zones are those served, by name; at most MostZones of them.
	Zones []Zone `json:"zones"`
	// AllZones are all zones together.
	AllZones ZoneSum `json:"all_zones"`
	// ZonesLoadSeconds is how long the last load of the zones took.
	ZonesLoadSeconds float64 `json:"zones_load_seconds"`

	// Topology is what the fleet is to serve; its Nodes are left out here.
	Topology Topology `json:"topology"`

	Steered []Steered `json:"steered"`
	Held    []string  `json:"held,omitempty"` // sites that the breaker holds in service
	// HeldSites says why, nil: none is.
	HeldSites *HeldSites `json:"held_sites,omitempty"`
	// HeldChanges are what else the breaker holds: new databases, a new topology.
	HeldChanges []HeldChange     `json:"held_changes,omitempty"`
	Releases    []health.Release `json:"releases,omitempty"` // of content generations, by name
	Sites       []Site           `json:"sites"`              // in the order of the configuration
	// Times are the round-trip times of the live vantage points, by their names.
	Times     []health.Times `json:"times,omitempty"`
	Nodes     []FleetNode    `json:"nodes"`
	Audiences []Audience     `json:"audiences,omitempty"` // in the order of the configuration
	Frontends []Frontend     `json:"frontends"`           // of this node's own balancer
	BGP       *bgp.Status    `json:"bgp,omitempty"`       // nil: this node announces nothing
	Etcd      Etcd           `json:"etcd"`
	Geo       []Database     `json:"geo"`
	Tables    []Table        `json:"tables"` // that tell the steered names' clients apart
	// Problems are what a person should look at, one sentence each. The console
	// adds those of Attention.
	Problems []string `json:"problems"`
	Counters Counters `json:"counters"`
}

// Node is the node that answers.
type Node struct {
	Name    string    `json:"name"`
	Roles   []string  `json:"roles"` // "dns", "checker", "balancer"
	Version string    `json:"version"`
	Started time.Time `json:"started"`
}

// MostZones bounds how many zones a Status lists, and how many have metrics of
// their own: with a million, either would be too much for who asks for it.
const MostZones = 10_000

// ZoneSum is what several zones have together.
type ZoneSum struct {
	Zones int   `json:"zones"`
	Names int64 `json:"names"` // owner names
	Bytes int64 `json:"bytes"` // of memory
}

// Zone is a zone this node serves.
type Zone struct {
	Name   string `json:"name"`
	Serial uint32 `json:"serial"`
	Names  int    `json:"names"` // owner names
	Bytes  int    `json:"bytes"` // of memory
	// DNSSEC is how this node signs it; nil: it does not.
	DNSSEC *DNSSEC `json:"dnssec,omitempty"`
	// Transfer is how it moves between servers; nil: it does not.
	Transfer *Transfer `json:"transfer,omitempty"`
}

// Steered is a name whose answer depends on the client.
type Steered struct {
	Name string `json:"name"`
	Form string `json:"form"` // "cname" or "address"
	// TTLSeconds is the TTL of the tailored answers.
	TTLSeconds uint32 `json:"ttl"`
	Cohorts    int    `json:"cohorts"` // groups of clients that are treated alike
	// Alias is the target of the ALIAS record by which the name is steered; empty:
	// it is so itself.
	Alias string `json:"alias,omitempty"`
	// Holds: only sites that serve the released content generation, Released, are given
	// to new users; "": none is released.
	Holds    bool   `json:"holds,omitempty"`
	Released string `json:"released,omitempty"`
	// Split is how users were spread lately; nil while too few were to tell.
	Split *Split `json:"split,omitempty"`
}

// Split is the shares of the sites in the answers of a steered name of the last minutes, beside what
// its policy gives to such clients in the long run, in the states in which they were answered.
type Split struct {
	Samples  int                `json:"samples"` // answers that it is about
	Got      map[string]float64 `json:"got"`
	Expected map[string]float64 `json:"expected"`
}

// Site is a site's health with what the configuration says of it.
type Site struct {
	health.Status
	CNAME     string    `json:"cname,omitempty"`
	Addresses []string  `json:"addresses,omitempty"`
	Location  *Location `json:"location,omitempty"` // nil: not stated
	// Drain is how far it is, of a site that is to get no new users; else nil.
	Drain *health.DrainProgress `json:"drain,omitempty"`
	// Spare is how much of Capacity the site has left, and 0 when it gives no
	// new answers; filled by the console.
	Spare float64 `json:"spare"`
}

// Location is in WGS 84 degrees, north and east positive.
type Location struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
}

// FleetNode is a node that is alive, as its lease in the store says.
type FleetNode struct {
	Name     string    `json:"name"`
	Roles    []string  `json:"roles"`
	Since    time.Time `json:"since,omitzero"`
	Revision int64     `json:"revision"` // of the topology it serves; 0: none, or of its own file
	// Trial is the one that it answers to a share of the clients' networks by, a canary; 0: none.
	Trial int64 `json:"trial,omitempty"`
	// Follows: it serves the topology in etcd; Wanted is the revision that it is to
	// serve, where that is another, and Problem why it does not.
	Follows bool   `json:"follows,omitempty"`
	Wanted  int64  `json:"wanted,omitempty"`
	Problem string `json:"problem,omitempty"`
	Console string `json:"console,omitempty"` // the URL of its console; "": not known
	// Place is where a checker stands, in words; Blind why its votes are withdrawn.
	Place string `json:"place,omitempty"`
	Blind string `json:"blind,omitempty"`
	Self  bool   `json:"self,omitempty"`
}

// Frontend is a listener of this node's balancer.
type Frontend struct {
	Name        string           `json:"name"`
	Site        string           `json:"site"`
	Listen      []string         `json:"listen"`
	Pick        string           `json:"pick"`
	Plane       string           `json:"plane,omitempty"`     // how its connections are carried
	PlaneWhy    string           `json:"plane_why,omitempty"` // and why so, in words
	Panic       bool             `json:"panic,omitempty"`     // no server is available, all are tried
	Connections int64            `json:"connections"`         // open now
	Accepted    uint64           `json:"accepted"`            // since the start
	Failed      uint64           `json:"failed"`              // accepted, but no server took them
	Servers     []FrontendServer `json:"servers"`             // spares included
}

// FrontendServer is a real server behind a Frontend.
type FrontendServer struct {
	Address     string          `json:"address"`
	State       health.State    `json:"state"`
	Role        string          `json:"role"`       // "server" or "spare"
	InService   bool            `json:"in_service"` // given new connections
	Isolated    bool            `json:"isolated,omitempty"`
	Draining    bool            `json:"draining,omitempty"`
	Connections int64           `json:"connections"`
	Capacity    float64         `json:"capacity,omitempty"`       // connections it can take well; 0: not stated
	Picks       int64           `json:"picks"`                    // connections to it that were tried, since the start
	Queued      int64           `json:"queued,omitempty"`         // clients that wait because it has as many connections as it may
	TimedOut    int64           `json:"queue_timeouts,omitempty"` // of such, those who waited for too long
	Since       time.Time       `json:"since,omitzero"`           // when it last came into or out of service
	Weight      float64         `json:"weight"`                   // as its agent wants it
	Load        float64         `json:"load,omitempty"`           // connections over Capacity
	Rate        float64         `json:"rate"`                     // new connections a second
	Failures    int64           `json:"failures"`                 // connects that failed, and connections reset before a first byte
	FirstByte   float64         `json:"first_byte,omitempty"`     // median time to its first byte lately, in seconds
	P99         float64         `json:"first_byte_p99,omitempty"` // likewise, of 99 in 100 connections
	Ejections   int64           `json:"ejections,omitempty"`      // how often it was isolated
	Drain       *balancer.Drain `json:"drain,omitempty"`          // how far it is with draining; nil: it does not
	BytesUp     int64           `json:"bytes_up"`                 // from clients
	BytesDown   int64           `json:"bytes_down"`               // to clients
	Detail      string          `json:"detail,omitempty"`         // the last check's outcome, or why it is isolated
}

// Etcd is the connection to the store.
type Etcd struct {
	Embedded  bool      `json:"embedded"`
	Connected bool      `json:"connected"`
	Since     time.Time `json:"since,omitzero"` // when Connected last changed
	Endpoints []string  `json:"endpoints"`
	Revision  int64     `json:"revision"`
	Error     string    `json:"error,omitempty"` // the last one; may be old when connected
	Ended     string    `json:"ended,omitempty"` // why this node's own member has ended, if it has
}

// Database is a source of places.
type Database struct {
	Path  string    `json:"path"`
	Type  string    `json:"type"`
	Built time.Time `json:"built,omitzero"`
	Error string    `json:"error,omitempty"` // why a newer file isn't used; the one opened before stays
	Since time.Time `json:"since,omitzero"`  // when Error was first seen; zero: not known

	Networks    int     `json:"networks"` // that carry a record
	Places      int     `json:"places"`   // distinct ones
	Bytes       int     `json:"bytes"`    // of memory that it takes
	LoadSeconds float64 `json:"load_seconds"`
}

// Table tells the cohort of every client for names with equal rules.
type Table struct {
	Names     []string `json:"names"` // steered by it
	Cohorts   int      `json:"cohorts"`
	Networks4 int      `json:"networks4"` // that the IPv4 addresses are divided into
	Networks6 int      `json:"networks6"`
	Bytes     int      `json:"bytes"` // of memory that it takes
	// BuildSeconds is how long it took to build it, with all others of its time.
	BuildSeconds float64 `json:"build_seconds"`
}

// Counters count since the node started.
type Counters struct {
	Queries uint64 `json:"queries"`
	// Answers counts by response code ("NOERROR").
	Answers map[string]uint64 `json:"answers"`
	// Choices counts by steered name, then by site.
	Choices map[string]map[string]uint64 `json:"choices"`
	// Compact counts names that do not exist, in zones with compact denial, by their proof:
	// "signed" for the query, "kept" from one before, or of the "chain".
	Compact map[string]uint64 `json:"compact_denials,omitempty"`
}

// complete fills what the console itself derives, and makes lists of JSON out of nil ones.
func (s Status) complete(now time.Time) Status {
	if s.Now.IsZero() {
		s.Now = now
	}
	sites := make([]Site, len(s.Sites))
	for i, x := range s.Sites {
		x.Spare = 0
		if x.InService() && x.Capacity > x.Load {
			x.Spare = x.Capacity - x.Load
		}
		sites[i] = x
	}
	s.Sites = sites
	s.Node.Roles = list(s.Node.Roles)
	s.Topology.Nodes = list(s.Topology.Nodes)
	s.Zones, s.Steered, s.Nodes = list(s.Zones), list(s.Steered), list(s.Nodes)
	s.Frontends, s.Geo, s.Problems = list(s.Frontends), list(s.Geo), list(s.Attention())
	s.Tables, s.Etcd.Endpoints = list(s.Tables), list(s.Etcd.Endpoints)
	if s.Counters.Answers == nil {
		s.Counters.Answers = map[string]uint64{}
	}
	if s.Counters.Choices == nil {
		s.Counters.Choices = map[string]map[string]uint64{}
	}
	return s
}

// list makes nil an empty list, which JSON writes as [] and not as null.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
