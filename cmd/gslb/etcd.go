package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"gslb/console"
	"gslb/history"
	"gslb/steady"
	"gslb/store"
)

func etcdCommand() *cli.Command {
	return &cli.Command{
		Name:  "etcd",
		Usage: "show the members of the fleet's etcd, or take one out for good",
		Flags: apiFlags(),
		Action: func(ctx context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usagef("gslb etcd: %q is not expected: want nothing, or remove", c.Args().First())
			}
			cl := client(c)
			defer cl.Close()
			all, err := cl.Members(ctx)
			if err != nil {
				return err
			}
			return console.WriteMembers(c.Root().Writer, all)
		},
		Commands: []*cli.Command{{
			Name:      "remove",
			Usage:     "take a member out of etcd whose node does not come back, so that the others need fewer for a majority",
			ArgsUsage: "NAME|ID",
			Description: "The member must not answer any more, and the others must be a majority. A disk that was lost needs no\n" +
				"such order: start the node again with an empty data_dir.",
			Flags: append(apiFlags(), whyFlag()),
			Action: func(ctx context.Context, c *cli.Command) error {
				if c.Args().Len() != 1 {
					return usagef("gslb etcd remove: want one NAME or ID, such as: gslb etcd remove ns3 --why \"scrapped\"")
				}
				if err := needWhy(c); err != nil {
					return err
				}
				cl := client(c)
				defer cl.Close()
				gone, err := cl.RemoveMember(ctx, c.Args().First(), history.Order{Who: operator(), Why: c.String("why")})
				if err != nil {
					return err
				}
				fmt.Fprintf(c.Root().Writer, "%s is no member of etcd any more; take it out of \"cluster\" and \"endpoints\" of the other nodes when they are changed next\n", gone.Text())
				return nil
			},
		}},
	}
}

// Members is part of console.Backend.
func (n *node) Members(ctx context.Context) ([]store.Member, error) { return n.store.Members(ctx) }

// RemoveMember is part of console.Backend.
func (n *node) RemoveMember(ctx context.Context, which string, by history.Order) (store.Member, error) {
	gone, err := n.store.RemoveMember(ctx, which)
	if err == nil {
		n.fleet.Note(history.Event{At: steady.Now(), Kind: history.KindMember, Node: n.name, Who: by.Who, Why: by.Why, Text: fmt.Sprintf("the member %s was taken out of etcd", gone.Text())})
	}
	return gone, err
}
