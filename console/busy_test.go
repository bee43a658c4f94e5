package console

import (
	"time"

	"gslb/forecast"
	"gslb/health"
	"gslb/history"
)

// busy is the demo's fleet on a day on which all happens at once: the breaker holds,
// a revision is tried, content is released, and one operator's users lack a site.
func busy() *fake {
	st := demoStatus()
	at := func(d time.Duration) time.Time { return fakeNow.Add(-d) }
	st.HeldChanges = []HeldChange{{What: "databases", Since: at(4 * time.Minute), Moved: 0.342,
		Why:   "34.2 % of the users would move to another site at once, more than 30 % (max_space_lost): site lgu would go from 41 % to 12 % of them, frankfurt from 8.1 % to 40.4 %",
		Moves: []forecast.SiteChange{{Site: "frankfurt", ShareBefore: 0.081, ShareAfter: 0.404}, {Site: "lgu", ShareBefore: 0.41, ShareAfter: 0.12}, {Site: "kt", ShareBefore: 0.2, ShareAfter: 0.167}}}}
	st.Held = []string{"virginia"}
	st.HeldSites = &HeldSites{Sites: st.Held, Since: at(20 * time.Second), Until: fakeNow.Add(29 * time.Minute),
		Why: "2 of 5 sites in service would go down within 1m0s, by the word of one vantage point alone for virginia; more than 30 % are held"}
	revision := func(n int64, who, why string, age time.Duration) history.Revision {
		return history.Revision{Number: n, Order: history.Order{Who: who, Why: why}, When: at(age), Base: n - 1, Files: 3, Bytes: 4096}
	}
	revisions := []history.Revision{revision(7, "kim", "Tokyo takes Osaka's users", 12*time.Minute), revision(6, "lee", "third site in Europe", 30*time.Hour), revision(5, "lee", "shorter TTL before the move", 76*time.Hour)}
	revisions[2].From = 3
	st.Topology = Topology{Follows: true, Serving: 6, Head: history.Head{Serial: 12, Newest: 7, Stable: revisions[1],
		Canary: &history.Canary{Revision: revisions[0], First: history.First{Nodes: []string{"ns1.tokyo"}}}}}
	for i := range st.Nodes {
		st.Nodes[i].Follows, st.Nodes[i].Revision = true, 6
	}
	st.Nodes[1].Revision = 7
	st.Nodes[2].Revision, st.Nodes[2].Wanted, st.Nodes[2].Problem = 5, 6, "GeoLite2-ASN.mmdb: no such file or directory"
	st.Audiences = []Audience{{Name: "verizon", Who: "Verizon", Min: 2, Vantages: []string{"ns1.virginia", "ns2.virginia"}}, {Name: "kt", Who: "KT or Korea Telecom", Min: 2, Vantages: []string{"ns1.seoul"}}}
	st.Steered[0].Holds, st.Steered[0].Released = true, "v42"
	st.Releases = []health.Release{{Name: health.AllNames, Generation: "v42", Who: "park", Why: "spring sale", Since: at(26 * time.Minute)}}
	for i := range st.Sites {
		st.Sites[i].Generations = []string{[]string{"v42", "v42", "v41", "v42", "v41,v42"}[i]}
	}
	st.Sites[4].Generations = []string{"v41", "v42"}
	return &fake{status: st, live: true, revisions: revisions, events: []history.Event{
		{At: at(20 * time.Second), Kind: history.KindBreaker, Node: "ns1.seoul", Text: "holds the new databases: 34.2 % of the users would move"},
		{At: at(40 * time.Second), Kind: history.KindHealth, Node: "ns1.seoul", Site: "virginia", Text: "degraded, was up: 1 of 2 vantage points says degraded: slow answers"},
		{At: at(90 * time.Second), Kind: history.KindBalancer, Node: "ns1.seoul", Site: "lgu", Text: "frontend www, server 10.0.2.21:443: spare in: 1 of 2 wanted servers is isolated"},
		{At: at(91 * time.Second), Kind: history.KindBalancer, Node: "ns1.seoul", Site: "lgu", Text: "frontend www, server 10.0.2.13:443: isolated: 2 connects failed in a row: connection reset by peer"},
		{At: at(5 * time.Minute), Kind: history.KindOverride, Node: "ns1.seoul", Site: "tokyo", Who: "kim", Why: "kernel upgrade, see change 1182", Text: "drained until 2026-11-22T03:29:05Z"},
		{At: at(12 * time.Minute), Kind: history.KindCanary, Node: "ns1.seoul", Revision: 7, Who: "kim", Why: "Tokyo takes Osaka's users", Text: "for ns1.tokyo first"},
		{At: at(26 * time.Minute), Kind: history.KindGeneration, Node: "ns1.seoul", Who: "park", Why: "spring sale", Text: "v42 is released for *"},
	}}
}
