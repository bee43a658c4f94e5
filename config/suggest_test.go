package config

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"listen", "workers", "max_udp_size", "ecs", "tcp_idle"}
	tests := []struct{ word, want string }{
		{"listen", "listen"},
		{"Listen", "listen"},
		{"listn", "listen"},
		{"lisetn", "listen"}, // swapped neighbours are one mistake
		{"worker", "workers"},
		{"max_udp", ""},
		{"maxudpsize", "max_udp_size"},
		{"esc", "ecs"},
		{"port", ""},
		{"", ""},
		{strings.Repeat("x", 1000), ""},
	}
	for _, tt := range tests {
		if got := Nearest(tt.word, known); got != tt.want {
			t.Errorf("%.20q is taken for %q, want %q", tt.word, got, tt.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	if got, want := didYouMean("x", nil), ""; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := didYouMean("busan", []string{"tokyo", "kt"}), "known: kt, tokyo"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := didYouMean("zz", strings.Split("abcdefghijklmnop", "")); got != "" {
		t.Errorf("a long list is not shown: %q", got)
	}
}

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kt", "tk", 1}, {"nearst", "nearest", 1}, {"weigthed", "weighted", 1}, {"서울", "서율", 1}, {"abc", "xyz", 3},
	}
	for _, tt := range tests {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q is %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
