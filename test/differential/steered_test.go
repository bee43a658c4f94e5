package differential

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

// steeredZone is a zone of which gslb has steered names and ALIAS records, and the
// others what these come to at one site.
type steeredZone struct {
	origin  string
	text    string            // that all have
	steered map[string]string // names to "cname", "address" or "hints"
	aliases map[string]string // owners of ALIAS records to their targets
}

// steeredSite is a site, and what aliases of a name in CNAME form come to there.
type steeredSite struct {
	name, cname string
	addresses   []string
	behind      []string // the addresses of cname
}

var steeredSites = []steeredSite{
	{"both", "both.sites.test.", []string{"192.0.2.11", "192.0.2.12", "2001:db8::11"}, []string{"192.0.2.101", "2001:db8::101"}},
	{"four", "four.sites.test.", []string{"192.0.2.21"}, []string{"192.0.2.102"}},
	{"six", "six.sites.test.", []string{"2001:db8::31"}, []string{"2001:db8::103"}},
}

const steeredTTL = 30 // of all steered names; that of all else is longer

var steeredZones = []steeredZone{
	{origin: "sites.test.", text: `
both      A    192.0.2.101
both      AAAA 2001:db8::101
both      TXT  "both"
four      A    192.0.2.102
six       AAAA 2001:db8::103
`},
	{origin: "steered.test.", text: `
@         MX   10 adr
@         TXT  "apex"
adr       MX   10 static
adr       TXT  "beside"
adr       CAA  0 issue "ca.test"
adr       TYPE65280 \# 2 0102
static    A    192.0.2.4
static    AAAA 2001:db8::4
*.wadr    TXT  "wildcard"
host.wadr TXT  "host"
host.wc   TXT  "host"
x.y.ent   TXT  "deep"
*.wst     A    192.0.2.5
*.mixed   TXT  "wildcard above what is steered"
tocname   CNAME www
toadr     CNAME adr
toalias   CNAME al
towadr    CNAME x.wadr
towc      CNAME x.wc
todeep    CNAME deep.st.ent
toent     CNAME st.ent
tofixed   CNAME x.fixed
*.cwadr   CNAME q.wadr
*.cadr    CNAME adr
dn        DNAME wadr
dn2       DNAME wc
dn3       DNAME fixed
dn4       DNAME ent
dn5       DNAME cadr
mx        MX   1 adr
mx        MX   2 al
mx        MX   3 www
mx        MX   4 static
srv       SRV  0 0 1 x.wadr
svc       HTTPS 1 adr alpn=h2
ali       HTTPS 0 static
sub       NS   adr
sub       NS   ns.sub
ns.sub    A    192.0.2.9
child     NS   ns.child
ns.child  A    192.0.2.10
`,
		steered: map[string]string{"www": "cname", "adr": "address", "*.wadr": "address", "*.wc": "cname", "deep.st.ent": "address", "_s._tcp": "address", "a.*.mid": "cname",
			"in.mixed": "address", "web": "hints", "*.wweb": "hints"},
		aliases: map[string]string{"@": "adr", "al": "www", "al2": "static", "al3": "toadr", "*.walias": "adr", "al4": "x.wadr", "al5": "q.wst", "*.fixed": "static", "al6": "web"}},
	{origin: "child.steered.test.", text: `
mx    MX 1 @
up    CNAME adr.steered.test.
www   CNAME @
x     NS @
`,
		steered: map[string]string{"@": "address", "*": "cname"},
		aliases: map[string]string{"flat": "adr.steered.test."}},
}

// forGSLB is the zone's master file as gslb reads it.
func (z *steeredZone) forGSLB() string {
	var b strings.Builder
	z.begin(&b)
	for owner, target := range z.aliases {
		fmt.Fprintf(&b, "%s ALIAS %s\n", owner, target)
	}
	for name, form := range z.steered {
		if form == "hints" {
			fmt.Fprintf(&b, "%s HTTPS 1 . alpn=h2 port=8443\n", name)
		}
	}
	return b.String()
}

func (z *steeredZone) begin(b *strings.Builder) {
	fmt.Fprintf(b, "$TTL 300\n@ SOA ns hostmaster 1 7200 900 1209600 60\n@ NS ns\nns A 192.0.2.1\n%s", z.text)
}

// forOthers is the zone's master file for who is sent to a site.
func (z *steeredZone) forOthers(site *steeredSite) string {
	var b strings.Builder
	z.begin(&b)
	addresses := func(owner string, ttl int, list []string) {
		for _, a := range list {
			kind := "A"
			if strings.Contains(a, ":") {
				kind = "AAAA"
			}
			fmt.Fprintf(&b, "%s %d %s %s\n", owner, ttl, kind, a)
		}
	}
	for name, form := range z.steered {
		if form == "cname" {
			fmt.Fprintf(&b, "%s %d CNAME %s\n", name, steeredTTL, site.cname)
			continue
		}
		addresses(name, steeredTTL, site.addresses)
		if form == "hints" {
			fmt.Fprintf(&b, "%s %d HTTPS 1 . alpn=h2 port=8443%s\n", name, steeredTTL, site.hints())
		}
	}
	for owner, target := range z.aliases {
		switch target {
		case "www":
			addresses(owner, steeredTTL, site.behind)
		case "static":
			addresses(owner, 300, []string{"192.0.2.4", "2001:db8::4"})
		case "q.wst":
			addresses(owner, 300, []string{"192.0.2.5"})
		default:
			addresses(owner, steeredTTL, site.addresses)
		}
	}
	return b.String()
}

// hints are those of a site's addresses.
func (s *steeredSite) hints() string {
	var four, six []string
	for _, a := range s.addresses {
		if strings.Contains(a, ":") {
			six = append(six, a)
		} else {
			four = append(four, a)
		}
	}
	text := ""
	if len(four) > 0 {
		text += " ipv4hint=" + strings.Join(four, ",")
	}
	if len(six) > 0 {
		text += " ipv6hint=" + strings.Join(six, ",")
	}
	return text
}

// steeredTopology is what gslb is told of the names and the sites: everyone is sent to one of them.
func steeredTopology(site *steeredSite) string {
	var b strings.Builder
	for _, s := range steeredSites {
		fmt.Fprintf(&b, "\n[[site]]\nname = %q\ncname = %q\naddresses = [\"%s\"]\n", s.name, s.cname, strings.Join(s.addresses, `","`))
	}
	for _, z := range steeredZones {
		for name, form := range z.steered {
			answer := form
			if form == "hints" {
				answer = "address\"\nhints = true\nttl = \"" + fmt.Sprint(steeredTTL) + "s"
			} else {
				answer += "\"\nttl = \"" + fmt.Sprint(steeredTTL) + "s"
			}
			fmt.Fprintf(&b, "\n[[steer]]\nname = %q\nanswer = \"%s\"\n[[steer.rule]]\nto = [%q]\n", absolute(name, z.origin), answer, site.name)
		}
	}
	return b.String()
}

// TestSteeredAnswersAgree asks gslb about steered names and ALIAS records, in zones that
// have them in all places, and the others about zones that have what these come to.
func TestSteeredAnswersAgree(t *testing.T) {
	bed.Long(t)
	ta := &tally{explained: map[string]int{}}
	asked := 0
	for i := range steeredSites {
		site := &steeredSites[i]
		t.Run(site.name, func(t *testing.T) {
			dir := t.TempDir()
			var zones []*zone
			for _, z := range steeredZones {
				own, file := filepath.Join(dir, z.origin+"own"), filepath.Join(dir, z.origin+"zone")
				write(t, own, z.forGSLB())
				write(t, file, z.forOthers(site))
				one := readZone(t, z.origin, file, "")
				one.own = own
				zones = append(zones, one)
			}
			peers := startPeersWith(t, zones, steeredTopology(site))
			asked += askPairs(t, peers, zones, ta)
		})
	}
	for _, s := range ta.shown {
		t.Error(s)
	}
	if n := ta.against[0] + ta.against[1]; n > 0 {
		t.Errorf("%d unexplained differences (against all three: %d)", n, ta.against[1])
	}
	ta.notSeen(t, withSteered)
	if asked < 1500 {
		t.Errorf("only %d questions were asked", asked)
	}
	t.Logf("%d questions; explained differences by id: %v", asked, ta.explained)
}

// isSteered tells whether a name stands where a steered name or an ALIAS record does.
func isSteered(name string) bool {
	for _, z := range steeredZones {
		for _, list := range []map[string]string{z.steered, z.aliases} {
			for owner := range list {
				owner = absolute(owner, z.origin)
				if rest, wild := strings.CutPrefix(owner, "*."); strings.EqualFold(owner, name) || wild && dns.IsSubDomain(rest, name) && !strings.EqualFold(rest, name) {
					return true
				}
			}
		}
	}
	return false
}
