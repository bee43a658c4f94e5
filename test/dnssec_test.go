package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// signed has the topology's zone signed: one line in its [[zone]]. more is further
// configuration of all nodes.
func (tp *topology) signed(policy, more string) func(string) string {
	return func(text string) string {
		line := fmt.Sprintf("file = %q\n", tp.zone)
		if !strings.Contains(text, line) {
			tp.t.Fatalf("no zone in\n%s", text)
		}
		return strings.Replace(text, line, line+fmt.Sprintf("dnssec = %q\n", policy), 1) + more
	}
}

// startSigned starts the first DNS node with the zone signed.
func (tp *topology) startSigned(policy, more string) *node {
	tp.t.Helper()
	tp.shared += severalSites
	path := tp.writeDNSNode()
	text, err := os.ReadFile(path)
	if err != nil {
		tp.t.Fatal(err)
	}
	replace(tp.t, path, []byte(tp.signed(policy, more)(string(text))))
	return tp.startNode("ns1", path, tp.dns, tp.api)
}

// keys runs gslb keys with the node's configuration.
func (n *node) keys(args ...string) string {
	n.t.Helper()
	return must(n.t, append([]string{binary(n.t), "keys", "-config", n.config}, args...)...)
}

// anchor gives the DS of a zone as fields: tag, algorithm, digest type, digest.
func (n *node) anchor(zone string) []string {
	n.t.Helper()
	return strings.Fields(strings.SplitN(n.keys("ds", zone), "\n", 2)[0])[3:]
}

// delv asks for a name, validates with a trust anchor for the zone and says what
// delv thinks of the answer.
func (n *node) delv(anchor string, args ...string) string {
	n.t.Helper()
	host, port, _ := net.SplitHostPort(n.dns)
	r := run(n.t, patience, append([]string{"delv", "@" + host, "-p", port, "-a", anchor, "+root=abc.com"}, args...)...)
	for line := range strings.Lines(r.out + r.err) {
		if strings.Contains(line, "validated") || strings.Contains(line, "resolution failed") || strings.Contains(line, "unsigned") {
			return strings.Trim(line, "; \n")
		}
	}
	return r.out + r.err
}

// signedAnswer asks with DO.
func (n *node) signedAnswer(network, name string, qtype uint16, subnet string) (*dns.Msg, error) {
	q := question(name, qtype, subnet)
	q.IsEdns0().SetDo()
	m, err := exchange(network, n.dns, q)
	if err == nil && m.Truncated && network == "udp" {
		return n.signedAnswer("tcp", name, qtype, subnet)
	}
	return m, err
}

// zoneKeys fetches the zone's DNSKEY RRset.
func (n *node) zoneKeys() (keys []*dns.DNSKEY, err error) {
	m, err := n.signedAnswer("udp", "abc.com.", dns.TypeDNSKEY, "")
	if err != nil {
		return nil, err
	}
	for _, rr := range m.Answer {
		if k, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("no DNSKEY: %v", m)
	}
	return keys, signaturesCount(m, keys)
}

// signaturesCount checks that all RRsets of an answer are signed by one of the
// keys, as they stand at this moment. A delegation's NS are the only ones that are not.
func signaturesCount(m *dns.Msg, keys []*dns.DNSKEY) error {
	for _, section := range [][]dns.RR{m.Answer, m.Ns} {
		sets := map[string][]dns.RR{}
		sigs := map[string][]*dns.RRSIG{}
		for _, rr := range section {
			owner := strings.ToLower(rr.Header().Name)
			if s, ok := rr.(*dns.RRSIG); ok {
				key := owner + dns.TypeToString[s.TypeCovered]
				sigs[key] = append(sigs[key], s)
			} else {
				key := owner + dns.TypeToString[rr.Header().Rrtype]
				sets[key] = append(sets[key], rr)
			}
		}
		for name, set := range sets {
			if set[0].Header().Rrtype == dns.TypeNS && !m.Authoritative {
				continue
			}
			err := errors.New("no signature")
			for _, s := range sigs[name] {
				i := slices.IndexFunc(keys, func(k *dns.DNSKEY) bool { return k.KeyTag() == s.KeyTag })
				if i < 0 {
					err = fmt.Errorf("signed by key %d, which is not in the zone", s.KeyTag)
					continue
				}
				if err = s.Verify(keys[i], set); err == nil && !s.ValidityPeriod(time.Now()) {
					err = fmt.Errorf("counts from %d to %d", s.Inception, s.Expiration)
				}
				if err == nil {
					break
				}
			}
			if err != nil {
				return fmt.Errorf("%s: %w in\n%v", name, err, m)
			}
		}
		if len(sets) == 0 && len(section) > 0 {
			return fmt.Errorf("signatures alone in\n%v", m)
		}
	}
	return nil
}

// everyAnswer checks the answers to questions of all kinds, from each site's clients.
func (n *node) everyAnswer(keys []*dns.DNSKEY) error {
	for _, q := range []struct {
		name  string
		qtype uint16
	}{
		{"abc.com.", dns.TypeSOA}, {"abc.com.", dns.TypeMX}, {"mail.abc.com.", dns.TypeA}, {"chain1.abc.com.", dns.TypeAAAA}, {"alias.abc.com.", dns.TypeA},
		{"x.y.wild.abc.com.", dns.TypeTXT}, {"x.wild.abc.com.", dns.TypeA}, {"none.abc.com.", dns.TypeA}, {"empty.nonterminal.abc.com.", dns.TypeA},
		{"mail.abc.com.", dns.TypeTXT}, {"x.sub.abc.com.", dns.TypeA}, {"sub.abc.com.", dns.TypeDS}, {"big.abc.com.", dns.TypeTXT}, {"unknown.abc.com.", 65400},
		{"www.abc.com.", dns.TypeA}, {"www.abc.com.", dns.TypeAAAA}, {"www.abc.com.", dns.TypeCNAME}, {"www.abc.com.", dns.TypeTXT},
		{"img.abc.com.", dns.TypeA}, {"img.abc.com.", dns.TypeAAAA}, {"img.abc.com.", dns.TypeTXT}, {"set.abc.com.", dns.TypeA}, {"set.abc.com.", dns.TypeAAAA},
	} {
		for _, client := range []string{clientKT, clientLGU, clientCN, clientUS, clientUnknown} {
			m, err := n.signedAnswer("udp", q.name, q.qtype, client)
			if err == nil {
				err = signaturesCount(m, keys)
			}
			if err == nil && len(m.Answer)+len(m.Ns) < 2 {
				err = fmt.Errorf("nothing to validate in\n%v", m)
			}
			if err != nil {
				return fmt.Errorf("%s %s from %s: %w", q.name, dns.TypeToString[q.qtype], client, err)
			}
		}
	}
	return nil
}

// signedState is the state of abc.com's signing, of the API.
func (n *node) signedState() (s struct {
	Keys []struct {
		Tag   uint16 `json:"tag"`
		State string `json:"state"`
	} `json:"keys"`
	Signatures int      `json:"signatures"`
	Made       int      `json:"made"`
	Waiting    bool     `json:"waiting"`
	CameSigned bool     `json:"came_signed"`
	Problems   []string `json:"problems"`
}, err error) {
	body, err := get("http://" + n.api + "/api/v1/zones")
	if err != nil {
		return s, err
	}
	var all struct {
		Zones []struct {
			Name   string          `json:"name"`
			DNSSEC json.RawMessage `json:"dnssec"`
		} `json:"zones"`
	}
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		return s, err
	}
	for _, z := range all.Zones {
		if z.Name == "abc.com." && z.DNSSEC != nil {
			return s, json.Unmarshal(z.DNSSEC, &s)
		}
	}
	return s, fmt.Errorf("abc.com. is not signed: %s", body)
}

// TestSignedZone: one line has a zone signed, every answer for every client
// validates, whatever the sites do; keys and signatures outlive a restart; another
// node with the same keys signs alike; a broken key breaks nothing.
func TestSignedZone(t *testing.T) {
	t.Parallel()
	needLong(t)
	needTool(t, "delv")
	tp := newTopology(t)
	tp.startPlainSites()
	n := tp.startSigned("default", "")
	n.waitUp("kt", "lgu", "cn", "us")
	keys, err := n.zoneKeys()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.everyAnswer(keys); err != nil {
		t.Error(err)
	}

	t.Run("delv", func(t *testing.T) {
		ds := n.anchor("abc.com")
		anchor := write(t, tp.dir, "anchor", fmt.Sprintf("trust-anchors { abc.com. static-ds %s %s %s %q; };\n", ds[0], ds[1], ds[2], ds[3]))
		for args, want := range map[string]string{
			"abc.com SOA":                 "fully validated",
			"abc.com DNSKEY":              "fully validated",
			"big.abc.com TXT":             "fully validated",
			"chain1.abc.com AAAA":         "fully validated",
			"alias.abc.com A":             "fully validated",
			"www.abc.com A":               "fully validated",
			"www.abc.com AAAA":            "fully validated",
			"img.abc.com A":               "fully validated",
			"img.abc.com AAAA":            "fully validated",
			"set.abc.com A":               "fully validated",
			"set.abc.com AAAA":            "fully validated",
			"x.y.wild.abc.com TXT":        "fully validated",
			"host20.abc.com A":            "fully validated",
			"img.abc.com TXT":             "negative response, fully validated",
			"none.abc.com A":              "negative response, fully validated",
			"x.y.wild.abc.com A":          "negative response, fully validated",
			"mail.abc.com TXT":            "negative response, fully validated",
			"empty.nonterminal.abc.com A": "negative response, fully validated",
			"x.www.abc.com A":             "negative response, fully validated",
			"sub.abc.com DS":              "negative response, fully validated",
		} {
			if got := n.delv(anchor, strings.Fields(args)...); got != want {
				t.Errorf("%s: %s, want %q", args, got, want)
			}
		}
		wrong := write(t, tp.dir, "wrong", fmt.Sprintf("trust-anchors { abc.com. static-ds %s %s %s %q; };\n", ds[0], ds[1], ds[2], strings.Repeat("00", 32)))
		if got := n.delv(wrong, "abc.com", "SOA"); got == "fully validated" {
			t.Error("delv validates with a wrong trust anchor: it proves nothing")
		}
	})
	t.Run("health", func(t *testing.T) {
		for _, site := range sites {
			n.override("force", site.name, "down", "--why", "test")
			if site.name == "kt" {
				n.sentTo(patience, clientKT, "lgu")
			}
			if err := n.everyAnswer(keys); err != nil {
				t.Errorf("%s down: %v", site.name, err)
			}
			n.override("undrain", site.name)
		}
		n.sentTo(patience, clientKT, "kt")
	})
	t.Run("another node", func(t *testing.T) {
		two := tp.startMore("ns2", func(text string) string {
			return tp.signed("default", "")(text)
		}, fmt.Sprintf("keys = %q\nmaintain_keys = false\n", tp.path("ns1-data/keys")))
		two.waitUp("kt", "lgu", "cn", "us")
		for _, name := range []string{"abc.com.", "www.abc.com.", "img.abc.com.", "none.abc.com.", "x.wild.abc.com."} {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeSOA, dns.TypeDNSKEY} {
				for _, client := range []string{clientKT, clientCN} {
					a, err1 := n.signedAnswer("tcp", name, qtype, client)
					b, err2 := two.signedAnswer("tcp", name, qtype, client)
					if err := errors.Join(err1, err2); err != nil {
						t.Fatal(err)
					}
					if got, want := present(slices.Concat(b.Answer, b.Ns)), present(slices.Concat(a.Answer, a.Ns)); !slices.Equal(got, want) {
						t.Errorf("%s %s: the second node answers\n%q, the first\n%q", name, dns.TypeToString[qtype], got, want)
					}
				}
			}
		}
	})
	t.Run("restart", func(t *testing.T) {
		before, err := n.signedState()
		if err != nil || before.Made == 0 || before.Made < before.Signatures {
			t.Fatalf("%+v, %v", before, err)
		}
		n.Stop()
		n = tp.startNode("ns1", n.config, tp.dns, tp.api)
		after, err := n.signedState()
		if err != nil || after.Made != 0 || after.Signatures != before.Signatures || len(after.Keys) != 1 || after.Keys[0].Tag != before.Keys[0].Tag {
			t.Errorf("after the restart: %+v, %v; before: %+v", after, err, before)
		}
		if err := n.everyAnswer(keys); err != nil {
			t.Error(err)
		}
	})
	t.Run("broken key", func(t *testing.T) {
		files, err := filepath.Glob(tp.path("ns1-data/keys/*.private"))
		if err != nil || len(files) != 1 {
			t.Fatalf("%v, %v", files, err)
		}
		if info, err := os.Stat(files[0]); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, %v", files[0], info.Mode(), err)
		}
		good, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		putKey := func(data []byte) {
			replace(t, files[0], data)
			if err := os.Chmod(files[0], 0o600); err != nil {
				t.Fatal(err)
			}
		}
		putKey([]byte("broken"))
		named := func(s status) bool {
			return slices.ContainsFunc(s.Problems, func(p string) bool { return strings.Contains(p, files[0]) })
		}
		n.waitStatus(patience, func(s status) error {
			if !named(s) {
				return fmt.Errorf("status does not name the key file: %q", s.Problems)
			}
			return nil
		})
		if err := n.everyAnswer(keys); err != nil {
			t.Error(err)
		}
		putKey(good)
		n.waitStatus(patience, func(s status) error {
			if named(s) {
				return fmt.Errorf("the key is good again, and still named: %q", s.Problems)
			}
			return nil
		})
	})
	t.Run("metrics", func(t *testing.T) {
		body, err := get("http://" + n.api + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			`gslb_dnssec_signature_expiry_seconds{zone="abc.com."} `, `gslb_dnssec_keys{role="CSK",zone="abc.com."} 1`, `gslb_dnssec_signatures{zone="abc.com."} `,
			`gslb_dnssec_signatures_made_total{zone="abc.com."} 0`, `gslb_dnssec_sign_seconds{zone="abc.com."} `, `gslb_dnssec_ds_waiting{zone="abc.com."} 0`,
			`gslb_dnssec_next_key_event_timestamp_seconds{zone="abc.com."} `,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("metrics: no %s", want)
			}
		}
	})
	t.Run("reload", func(t *testing.T) {
		replaceText(t, tp.zone, "not.wild   IN A    192.0.2.50", "not.wild   IN A    192.0.2.51")
		n.reload()
		n.answers("not.wild.abc.com.", dns.TypeA, "not.wild.abc.com. A 192.0.2.51")
		if err := n.everyAnswer(keys); err != nil {
			t.Error(err)
		}
		// So is a configuration that leaves the zone unsigned while the parent has its DS.
		n.keys("seen", "abc.com")
		text, err := os.ReadFile(n.config)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, n.config, []byte(strings.Replace(string(text), "dnssec = \"default\"\n", "", 1)))
		n.reload()
		n.says("whoever validates would find the zone bogus")
		if err := n.everyAnswer(keys); err != nil {
			t.Error(err)
		}
		replace(t, n.config, text)
		n.reload()
		// A zone that would break a roll is refused, and the last one is served.
		replaceText(t, tp.zone, "not.wild   IN A", "not.wild 200000 IN A")
		n.reload()
		n.says("max_zone_ttl")
		n.answers("not.wild.abc.com.", dns.TypeA, "not.wild.abc.com. A 192.0.2.51")
		replaceText(t, tp.zone, "not.wild 200000 IN A", "not.wild   IN A")
	})
	t.Run("compact", func(t *testing.T) { n.compactDenial(tp) })
}

// compactDenial changes the policy of the zone to compact denial: whether there is no end of the
// time for proofs or none at all, delv finds each negative answer good, and names
// that do not exist have proofs of their own or not.
func (n *node) compactDenial(tp *topology) {
	t := n.t
	text, err := os.ReadFile(n.config)
	if err != nil {
		t.Fatal(err)
	}
	ds := n.anchor("abc.com")
	anchor := write(t, tp.dir, "compact-anchor", fmt.Sprintf("trust-anchors { abc.com. static-ds %s %s %s %q; };\n", ds[0], ds[1], ds[2], ds[3]))
	for _, share := range []string{"64", "0"} {
		n.Stop()
		changed := strings.Replace(string(text), "dnssec = \"default\"", "dnssec = \"small\"", 1) + "\n[dnssec.small]\ndenial = \"compact\"\n"
		changed = strings.Replace(changed, "[dns]\n", "[dns]\ncompact_share = "+share+"\n", 1)
		replace(t, n.config, []byte(changed))
		n = tp.startNode("ns1", n.config, tp.dns, tp.api)
		keys, err := n.zoneKeys()
		if err != nil {
			t.Fatal(err)
		}
		ask := []string{"none.abc.com A", "x.img.abc.com DS", "none.abc.com NSEC", "x.y.wild.abc.com A", "img.abc.com TXT", "empty.nonterminal.abc.com A", "sub.abc.com DS", "www.abc.com TXT"}
		if share == "0" {
			ask = ask[:2] // the others had no part in it before
		}
		for _, args := range ask {
			if got := n.delv(anchor, strings.Fields(args)...); got != "negative response, fully validated" && !(args == "www.abc.com TXT" && got == "fully validated") {
				t.Errorf("share %s, %s: %s", share, args, got)
			}
		}
		if err := n.everyAnswer(keys); err != nil {
			t.Errorf("share %s: %v", share, err)
		}
		for _, network := range []string{"udp", "tcp"} {
			for _, co := range []bool{false, true} {
				q := question(fmt.Sprintf("%s-%v.abc.com.", network, co), dns.TypeA, "")
				q.IsEdns0().SetDo()
				if co {
					q.IsEdns0().Hdr.Ttl |= 1 << 14
				}
				m, err := exchange(network, n.dns, q)
				if err != nil {
					t.Fatal(err)
				}
				own := slices.ContainsFunc(m.Ns, func(rr dns.RR) bool {
					nsec, ok := rr.(*dns.NSEC)
					return ok && slices.Contains(nsec.TypeBitMap, dns.TypeNXNAME)
				})
				if nxdomain := m.Rcode == dns.RcodeNameError; own != (share != "0") || nxdomain != (co || !own) || (m.IsEdns0().Hdr.Ttl>>14&1 == 1) != co || signaturesCount(m, keys) != nil {
					t.Errorf("share %s, CO %v: %v\n%v", share, co, signaturesCount(m, keys), m)
				}
			}
		}
		body, err := get("http://" + n.api + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for proof, counted := range map[string]bool{"signed": share != "0", "kept": share != "0", "chain": share == "0"} {
			if none := strings.Contains(body, fmt.Sprintf("gslb_dns_compact_denials_total{proof=%q} 0\n", proof)); none == counted {
				t.Errorf("share %s: %s proofs are counted: %v", share, proof, !none)
			}
		}
	}
}

// TestZoneThatComesSigned: signatures that somebody else made are served, and
// told about before they expire.
func TestZoneThatComesSigned(t *testing.T) {
	t.Parallel()
	needTool(t, "dnssec-keygen", "dnssec-signzone")
	dir := t.TempDir()
	dnsAt, api := freeAddress(t), freeAddress(t)
	zone := write(t, dir, "abc.com.zone", "$TTL 300\n@ SOA ns1 host 1 7200 900 1209600 60\n NS ns1\nns1 A 192.0.2.53\n")
	base := strings.TrimSpace(must(t, "dnssec-keygen", "-K", dir, "-a", "ECDSAP256SHA256", "-f", "KSK", "abc.com"))
	must(t, "dnssec-signzone", "-q", "-d", dir, "-z", "-S", "-K", dir, "-o", "abc.com", "-e", "now+86400", "-f", zone+".signed", zone)
	config := func(more string) string {
		return nodeConfiguration("ns1", `["dns"]`, "embedded = true\nlisten = \"127.0.0.1:0\"\n", api) +
			fmt.Sprintf("[dns]\nlisten = [%q]\n[[zone]]\nname = \"abc.com\"\nfile = %q\n%s", dnsAt, zone+".signed", more)
	}
	tp := &topology{t: t, dir: dir}
	n := tp.startNode("ns1", write(t, dir, "ns1.toml", config("")), dnsAt, api)
	keys, err := n.zoneKeys()
	if err != nil || len(keys) != 1 || !strings.HasSuffix(base, fmt.Sprintf("%05d", keys[0].KeyTag())) {
		t.Fatalf("%v, %v", keys, err)
	}
	if m, err := n.signedAnswer("udp", "none.abc.com.", dns.TypeA, ""); err != nil || signaturesCount(m, keys) != nil {
		t.Errorf("%v, %v", m, err)
	}
	n.waitStatus(patience, func(s status) error {
		for _, p := range s.Problems {
			if strings.Contains(p, "it comes signed, and its first signature expires at") {
				return nil
			}
		}
		return fmt.Errorf("nothing is said of the signatures that expire tomorrow: %q", s.Problems)
	})
	if s, err := n.signedState(); err != nil || !s.CameSigned {
		t.Errorf("%+v, %v", s, err)
	}
	// What comes signed is not signed once more.
	replace(t, n.config, []byte(config("dnssec = \"default\"\n")))
	n.reload()
	n.says("it comes signed already")
	if now, err := n.zoneKeys(); err != nil || len(now) != 1 || now[0].KeyTag() != keys[0].KeyTag() {
		t.Errorf("after a bad reload: %v, %v", now, err)
	}
	replace(t, n.config, []byte(config("")))
	// Signatures that have expired are told and served.
	must(t, "dnssec-signzone", "-P", "-q", "-d", dir, "-z", "-S", "-K", dir, "-o", "abc.com", "-s", "now-172800", "-e", "now-86400", "-f", zone+".signed", zone)
	n.reload()
	const expired = "abc.com. SOA: its signature of algorithm 13 (ECDSAP256SHA256) expired at "
	n.waitStatus(patience, func(s status) error {
		if p := strings.Join(s.Problems, "\n"); !strings.Contains(p, expired) || !strings.Contains(p, "more faults of its signatures") {
			return fmt.Errorf("nothing is said of the signatures that have expired: %q", s.Problems)
		}
		return nil
	})
	if m, err := n.signedAnswer("udp", "ns1.abc.com.", dns.TypeA, ""); err != nil || len(m.Answer) != 2 {
		t.Errorf("%v, %v", m, err)
	}
	if r := run(t, patience, binary(t), "check", "-config", n.config); r.code != 0 || !strings.Contains(r.err, "warning: zone abc.com.: "+zone+".signed: "+expired) {
		t.Errorf("gslb check: %d\n%s", r.code, r.err)
	}
}
