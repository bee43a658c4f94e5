package health

import (
	"fmt"
	"strconv"
	"strings"
)

// Vantage says which checkers probe a site, as configuration writes it: a list,
// with commas between, of
//
//	all               every checker; so does the empty Vantage
//	nearest:3         the three live checkers that are nearest to the site
//	country:KR        those that stand in the country
//	continent:AS      those that stand on the continent
//	isp:KT            those in the operator's network
//	NAME              the node of that name
//
// Who is in any of them probes.
type Vantage string

// VantageItem is one of the list: its kind ("nearest", "country", "continent",
// "isp", "name" or "all"), what stands behind the colon, or the name, and of
// nearest the number.
type VantageItem struct {
	Kind, Value string
	Count       int
}

// UnmarshalText reads a Vantage, and says what is wrong with one.
func (v *Vantage) UnmarshalText(text []byte) error {
	if _, err := Vantage(text).Items(); err != nil {
		return err
	}
	*v = Vantage(text)
	return nil
}

// Items are the parts of the list.
func (v Vantage) Items() ([]VantageItem, error) {
	var all []VantageItem
	for part := range strings.SplitSeq(string(v), ",") {
		part = strings.TrimSpace(part)
		kind, value, chosen := strings.Cut(part, ":")
		kind, value = strings.TrimSpace(kind), strings.TrimSpace(value)
		item := VantageItem{Kind: kind, Value: value}
		switch {
		case part == "" && v == "", part == "all":
			item = VantageItem{Kind: "all"}
		case part == "":
			return nil, fmt.Errorf("has an empty part: %s", vantageWanted)
		case !chosen:
			item = VantageItem{Kind: "name", Value: part}
		case value == "" || kind != "nearest" && kind != "country" && kind != "continent" && kind != "isp":
			return nil, fmt.Errorf("%q: %s", part, vantageWanted)
		case kind == "nearest":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > 1000 {
				return nil, fmt.Errorf("%q: must say how many, such as \"nearest:3\" (1 to 1000)", part)
			}
			item.Count = n
		}
		all = append(all, item)
	}
	return all, nil
}

const vantageWanted = `must be "all", or a list such as "nearest:3", "country:KR", "continent:AS", "isp:KT" or names of nodes`

// All tells whether every checker probes.
func (v Vantage) All() bool {
	items, err := v.Items()
	if err != nil {
		return true
	}
	for _, i := range items {
		if i.Kind == "all" {
			return true
		}
	}
	return false
}
