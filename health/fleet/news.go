package fleet

import "gslb/store"

// news is what came since the last evaluation: what of the view to read again, and
// which sites to judge again. In a fleet of a thousand sites that is one or two, nearly
// always, and to look at all of them each time is what a node would mostly do.
type news struct {
	keys  map[string]bool // of the view, written or removed
	sites map[string]bool // of which something else is said
	read  bool            // keys are not all: read the whole view
	judge bool            // sites are not all: judge every site
}

// everything is news of which nothing is known.
func everything() news { return news{read: true, judge: true} }

// view takes in what a view says of itself.
func (n *news) view(v store.View) {
	if v.Changed == nil {
		n.read, n.judge = true, true
		return
	}
	for _, key := range v.Changed {
		add(&n.keys, key)
		if site := siteOf(key); site != "" {
			add(&n.sites, site)
		}
	}
}

func add(set *map[string]bool, word string) {
	if *set == nil {
		*set = map[string]bool{}
	}
	(*set)[word] = true
}

// changed are the keys to read again; nil: all.
func (n *news) changed() map[string]bool {
	if n.read {
		return nil
	}
	return orEmpty(n.keys)
}

// touched are the sites to judge again; nil: all.
func (n *news) touched() map[string]bool {
	if n.judge {
		return nil
	}
	return orEmpty(n.sites)
}

func orEmpty(set map[string]bool) map[string]bool {
	if set == nil {
		return map[string]bool{}
	}
	return set
}
