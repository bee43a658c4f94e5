package store

import (
	"context"
	"errors"
	"time"
)

// patienceMost is how many times its first limit a patience grows to.
const patienceMost = 5

// patience is how long an attempt may take: short at first, so that a member that does not
// answer is soon left for another, and longer each time that an attempt has run out of
// it, since an etcd that is merely slow gets no quicker by being asked the same again.
type patience struct{ first, now time.Duration }

func newPatience(first time.Duration) patience { return patience{first, first} }

func (p *patience) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, p.now)
}

// learn takes in how the attempt went.
func (p *patience) learn(err error) {
	switch {
	case err == nil:
		p.now = p.first
	case errors.Is(err, context.DeadlineExceeded):
		p.now = min(2*p.now, patienceMost*p.first)
	}
}
