package config

import "testing"

func TestSmoke(t *testing.T) {
	c, err := Load("testdata/good/design.toml")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", c)
	p, err := c.Policies()
	t.Logf("%+v %v", p, err)
}
