// Package upkeep keeps zones signed as time goes by: it has the keys made and
// rolled by their policy, says how each zone is to be signed now and when to ask
// again, keeps signatures on disk over a restart, mistrusts a clock that jumps,
// and looks for the DS at the parent.
//
// It knows neither how a zone is stored nor how it is served: whoever does signs
// by what Prepare says, and tells how that went with Commit. Nothing here runs
// when a query comes, and nothing starts by itself.
//
// Invariants: what was good goes on. A zone whose keys cannot be read any more
// is signed with those that were read last; one fault of one zone stops no other.
// Whoever changes keys in a folder, in whichever process, holds the folder's lock.
package upkeep
