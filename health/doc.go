// Package health decides what is up.
//
// It owns the meaning of a [State], of the votes, reports and overrides that
// speak about a site, of the rise/fall [Machine] that turns single results into
// a verdict, and of [Evaluate], which turns everything that the fleet says into
// one immutable [States] value.
//
// The room is pure: no clock, no network, no store, no goroutine, no logger.
// Time comes in as an argument. How a result is got is known by health/probe,
// how votes travel by health/fleet, and where a user is sent by steer.
//
// Invariants:
//   - Unknown is not Down. Whoever has no evidence says Unknown, and an unknown
//     site stays in service.
//   - The same [Input] gives the same [States], whatever the order of its slices.
//   - A States is never changed once it was returned, and shares no memory with
//     the Input.
//   - [States.Sites] has exactly the sites of [Input.Sites]: an evaluation never
//     drops a site, it only says that it is down.
package health
