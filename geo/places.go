package geo

// places is a set of distinct Places, numbered from 0, the zero Place. It keeps
// each text once and a third of the memory that a []Place would take.
type places struct {
	texts []string // texts[0] is empty
	list  []packed

	// While filling:
	text  map[string]uint32
	index map[packed]uint32
}

// packed is a Place with numbers for its texts.
type packed struct {
	location    Coordinates
	hasLocation bool
	asn         uint32
	text        [8]uint32
}

func newPlaces() *places {
	p := &places{text: map[string]uint32{}, index: map[packed]uint32{}}
	p.number("")
	p.add(Place{})
	return p
}

// add returns the number of a place.
func (p *places) add(q Place) uint32 {
	k := packed{location: q.Location, hasLocation: q.HasLocation, asn: q.ASN}
	for i, text := range [...]string{q.Continent, q.Country, q.Subdivision[0], q.Subdivision[1], q.City, q.ASOrg, q.ISP, q.Organization} {
		k.text[i] = p.number(text)
	}
	n, ok := p.index[k]
	if !ok {
		n = uint32(len(p.list))
		p.index[k] = n
		p.list = append(p.list, k)
	}
	return n
}

func (p *places) number(text string) uint32 {
	n, ok := p.text[text]
	if !ok {
		n = uint32(len(p.texts))
		p.text[text] = n
		p.texts = append(p.texts, text)
	}
	return n
}

// seal drops what only filling needs.
func (p *places) seal() {
	p.texts, p.list = exact(p.texts), exact(p.list)
	p.text, p.index = nil, nil
}

// at returns a place by its number.
func (p *places) at(n uint32) Place {
	k := &p.list[n]
	text := func(i int) string { return p.texts[k.text[i]] }
	return Place{
		Continent: text(0), Country: text(1), Subdivision: [2]string{text(2), text(3)}, City: text(4),
		Location: k.location, HasLocation: k.hasLocation,
		ASN: k.asn, ASOrg: text(5), ISP: text(6), Organization: text(7),
	}
}

func (p *places) bytes() int {
	n := 64 * len(p.list) // 60 rounded up
	for _, t := range p.texts {
		n += 16 + (len(t)+7)&^7
	}
	return n
}
