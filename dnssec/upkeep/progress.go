package upkeep

import (
	"fmt"

	"gslb/dnssec"
)

// stages are those of a dnssec.KindRoll in words, and what ends them where no
// moment does.
var stages = [...]string{
	dnssec.AddSignatures:    "the new keys sign beside the old ones, and are published when no cache has anything without their signatures",
	dnssec.AddKeys:          "the new keys are published, and their DS can go to the parent when all caches have them",
	dnssec.SwapDS:           "the parent is to put the new DS in the old one's place",
	dnssec.RemoveDS:         "the parent has the new DS, and the old keys leave the zone when no cache has the old one",
	dnssec.RemoveSignatures: "the old keys are not published any more, and sign until no cache has them",
}

// Progress tells in one line of what goes on with all keys of a zone, if
// anything: the roll to another algorithm, or that the zone is to be unsigned.
func Progress(plan dnssec.Plan) string {
	if r := plan.Roll; r != nil {
		text := fmt.Sprintf("roll from %s to %s, step %d of %d: %s", r.From, r.To, r.Stage+1, len(stages), stages[r.Stage])
		if !r.Until.IsZero() {
			text += ", at " + stated(r.Until)
		}
		return text
	}
	switch plan.Leaving {
	case dnssec.AsksParent:
		return "is to be unsigned, step 1 of 3: CDS and CDNSKEY ask the parent to take the DS out (RFC 8078); this waits until it is gone from all of the parent's servers"
	case dnssec.ForgetsDS:
		return "is to be unsigned, step 2 of 3: the parent has no DS any more; the zone is signed until no cache has one, at " + stated(plan.Leaves)
	case dnssec.Left:
		return "is to be unsigned, step 3 of 3: it is served unsigned; the line dnssec in its table can be deleted"
	}
	return ""
}
