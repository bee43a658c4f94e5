package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"gslb/config"
	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/dnssec/upkeep"
	"gslb/zones"
)

// takenUp is said after each change of keys.
const takenUp = "A node that runs with these keys takes it up within seconds, without a restart."

func keysCommand() *cli.Command {
	return &cli.Command{
		Name:  "keys",
		Usage: "show, make, roll and import the keys that zones are signed with, and print the DS for the parent",
		Description: "Works on the folder of the keys (node.keys), whether a node runs or not. A node that runs\n" +
			"takes up what changes there by itself.",
		Flags: []cli.Flag{configFlag()},
		Commands: []*cli.Command{
			keysListCommand(), keysNewCommand(), keysDSCommand(), keysSeenCommand(), keysGoneCommand(),
			keysRollCommand(), keysRetireCommand(), keysImportCommand(),
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if name := c.Args().First(); name != "" {
				return usagef("gslb keys: there is no command %q%s (gslb keys -help lists them)", name, similarCommand(c, name))
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// zoneKeys is a zone of a configuration with its keys.
type zoneKeys struct {
	name   string
	apex   []byte
	policy dnssec.Config
	signed bool // by the configuration
	store  upkeep.Store
	cfg    *config.Config
}

// keysOf finds a zone of the configuration.
func keysOf(c *cli.Command, zone string) (*zoneKeys, error) {
	cfg, err := loadServed(c.String("config"))
	if err != nil {
		return nil, err
	}
	name, err := zones.CanonicalName(zone)
	if err != nil {
		return nil, usagef("%s: %v", c.FullName(), err)
	}
	known := make(nameSet)
	for _, z := range cfg.Zones {
		if z.Name == name {
			return zoneKeysOf(cfg, name)
		}
		known.add(z.Name)
	}
	where := c.String("config")
	if cfg.Node.Topology == config.TopologyEtcd {
		where = "the topology that the node of " + where + " served last"
	}
	return nil, fmt.Errorf("%s: %s has no zone of that name%s", name, where, known.suggest(name))
}

func zoneKeysOf(cfg *config.Config, name string) (*zoneKeys, error) {
	z := &zoneKeys{name: name, store: upkeep.Store{Folder: dnssec.Folder(cfg.Node.Keys)}, cfg: cfg}
	z.policy, z.signed = cfg.SignedBy(name)
	z.policy = z.policy.WithDefaults()
	apex, err := dnsname.Parse(name)
	z.apex = dnsname.AppendLower(nil, apex)
	return z, err
}

// signedHere finds a zone that is signed here, and whose keys this node may change.
func signedHere(c *cli.Command, zone string) (*zoneKeys, error) {
	z, err := keysOf(c, zone)
	switch {
	case err != nil:
		return nil, err
	case !z.signed:
		return nil, fmt.Errorf("%s is not signed here: write dnssec = \"default\" into its [[zone]]", z.name)
	case !*z.cfg.Node.MaintainKeys:
		return nil, fmt.Errorf("%s: its keys are made and rolled by another node (maintain_keys = false): do it there", z.name)
	}
	return z, nil
}

// keysAction makes an action of a command that takes a ZONE and, after it, a
// number of words from least to most; most below 0 means any.
func keysAction(least, most int, want string, find func(*cli.Command, string) (*zoneKeys, error), f func(*cli.Command, *zoneKeys, []string) error) cli.ActionFunc {
	return func(_ context.Context, c *cli.Command) error {
		n := c.Args().Len() - 1
		if n < least || most >= 0 && n > most {
			return usagef("%s: want %s", c.FullName(), want)
		}
		z, err := find(c, c.Args().First())
		if err != nil {
			return err
		}
		return f(c, z, c.Args().Tail())
	}
}

func keysListCommand() *cli.Command {
	return &cli.Command{
		Name: "list", Aliases: []string{"show"}, Usage: "show keys, what they do and what comes next", ArgsUsage: "[ZONE]",
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Len() > 1 {
				return usagef("gslb keys list: want one ZONE at most")
			}
			if c.Args().Present() {
				z, err := keysOf(c, c.Args().First())
				if err != nil {
					return err
				}
				return z.list(c.Root().Writer, time.Now())
			}
			cfg, err := loadServed(c.String("config"))
			if err != nil {
				return err
			}
			any := false
			for _, zone := range cfg.Zones {
				if zone.DNSSEC == "" {
					continue
				}
				any = true
				z, err := zoneKeysOf(cfg, zone.Name)
				if err == nil {
					err = z.list(c.Root().Writer, time.Now())
				}
				if err != nil {
					return err
				}
			}
			if !any {
				fmt.Fprintf(c.Root().Writer, "no zone of %s is signed here: write dnssec = \"default\" into a [[zone]] for that\n", c.String("config"))
			}
			return nil
		},
	}
}

// list prints a zone's keys for people.
func (z *zoneKeys) list(w io.Writer, now time.Time) error {
	keys, err := z.store.Load(z.apex)
	if err != nil {
		return err
	}
	who := "made and rolled by this node"
	if !*z.cfg.Node.MaintainKeys {
		who = "made and rolled by another node"
	}
	if !z.signed {
		who = "not used: the zone is not signed here"
	}
	fmt.Fprintf(w, "%s  keys in %s, %s\n", z.name, z.store.Folder, who)
	if len(keys) == 0 && z.policy.Insecure {
		fmt.Fprintf(w, "  no keys: it is served unsigned\n")
		return nil
	}
	if err := upkeep.Lost(string(z.store.Folder), stateOf(z.cfg), z.name); err != nil && len(keys) == 0 && z.signed {
		fmt.Fprintf(w, "  ! %v\n", err)
		return nil
	}
	if len(keys) == 0 {
		fmt.Fprintf(w, "  no keys yet: the node makes them when it starts, gslb keys new %s at once\n", z.name)
		return nil
	}
	plan := z.policy.Policy().Step(keys, now)
	if text := upkeep.Progress(plan); text != "" && z.signed {
		fmt.Fprintf(w, "  %s\n", text)
	}
	for _, k := range upkeep.Describe(keys, plan, now) {
		fmt.Fprintf(w, "  %s %d  %s  %s\n", k.Role, k.Tag(), k.Algorithm, k.State)
		switch {
		case k.Next != "" && k.At.IsZero():
			how := fmt.Sprintf("gslb keys ds %s prints it, gslb keys seen %s says so", z.name, z.name)
			if plan.Leaving != dnssec.Stays {
				how = fmt.Sprintf("gslb keys gone %s", z.name)
			}
			fmt.Fprintf(w, "      next: %s (%s)\n", k.Next, how)
		case k.Next != "":
			fmt.Fprintf(w, "      next: %s at %s\n", k.Next, moment(k.At))
		}
	}
	for _, err := range plan.Problems {
		fmt.Fprintf(w, "  ! %v\n", err)
	}
	return nil
}

func keysNewCommand() *cli.Command {
	return &cli.Command{
		Name: "new", Aliases: []string{"make"}, Usage: "make the keys that the zone's policy wants, if they are not there", ArgsUsage: "ZONE",
		Description: "The node does the same when it starts. Before that it is of use to give the DS to a registrar.",
		Action: keysAction(0, 0, "one ZONE", signedHere, func(c *cli.Command, z *zoneKeys, _ []string) error {
			now := time.Now()
			if _, err := z.store.Maintain(z.apex, z.policy.Policy(), now); err != nil {
				return err
			}
			return z.list(c.Root().Writer, now)
		}),
	}
}

func keysDSCommand() *cli.Command {
	return &cli.Command{
		Name: "ds", Aliases: []string{"export-ds"}, Usage: "print the DS records for the parent zone", ArgsUsage: "ZONE [TAG]",
		Description: "Prints DS records with SHA-256 and SHA-384 of the keys that the parent is to name: give it one of\n" +
			"the two or both. The lines behind them are CDS and CDNSKEY, for parents that want these.",
		Action: keysAction(0, 1, "ZONE, and a TAG if any", keysOf, func(c *cli.Command, z *zoneKeys, words []string) error {
			keys, err := z.entryKeys(words, time.Now())
			if err != nil {
				return err
			}
			for _, k := range keys {
				z.printDS(c.Root().Writer, k)
			}
			return nil
		}),
	}
}

// entryKeys gives the key with a tag or, without one, those that the parent is to name.
func (z *zoneKeys) entryKeys(words []string, now time.Time) ([]*dnssec.Key, error) {
	if len(words) > 0 {
		k, err := z.key(words[0])
		if err == nil && k.Role == dnssec.ZSK {
			err = fmt.Errorf("key %s is a ZSK: no DS names it", k)
		}
		return []*dnssec.Key{k}, err
	}
	keys, err := z.store.Load(z.apex)
	if err != nil {
		return nil, err
	}
	plan := z.policy.Policy().Step(keys, now)
	for _, named := range [][]*dnssec.Key{plan.Waiting, plan.CDS, plan.SignKeys} {
		if len(named) > 0 {
			return named, nil
		}
	}
	return nil, fmt.Errorf("%s has no keys in %s for the parent to name: the node makes them when it starts, gslb keys new %s at once", z.name, z.store.Folder, z.name)
}

func (z *zoneKeys) key(word string) (*dnssec.Key, error) {
	tag, err := strconv.ParseUint(word, 10, 16)
	if err != nil {
		return nil, usagef("gslb keys: %q: want a key's tag, a number of 0 to 65535", word)
	}
	return z.store.Find(z.apex, uint16(tag))
}

func (z *zoneKeys) printDS(w io.Writer, k *dnssec.Key) {
	for _, d := range []dnssec.DigestType{dnssec.SHA256, dnssec.SHA384} {
		fmt.Fprintf(w, "%s IN DS %s\n", z.name, dsText(k.DS(d)))
	}
	for _, d := range z.policy.Signing().CDS {
		fmt.Fprintf(w, "%s IN CDS %s\n", z.name, dsText(k.DS(d)))
	}
	fmt.Fprintf(w, "%s IN CDNSKEY %s\n", z.name, dnskeyText(k.DNSKEY()))
}

func keysSeenCommand() *cli.Command {
	return &cli.Command{
		Name: "seen", Usage: "say that the parent's servers all have the DS", ArgsUsage: "ZONE [TAG]",
		Description: "The roll of a KSK or CSK waits for that. Look at all of the parent's servers first. With resolvers in\n" +
			"the zone's policy the node looks by itself.",
		Action: keysAction(0, 1, "ZONE, and a TAG if any", signedHere, func(c *cli.Command, z *zoneKeys, words []string) error {
			now := time.Now()
			keys, err := z.entryKeys(words, now)
			if err != nil {
				return err
			}
			var ds [][]byte
			for _, k := range keys {
				ds = append(ds, k.DS(dnssec.SHA256))
			}
			changed, err := z.store.Seen(z.apex, ds, now)
			return z.changed(c.Root().Writer, changed, err)
		}),
	}
}

func keysGoneCommand() *cli.Command {
	return &cli.Command{
		Name: "gone", Usage: "say that the parent has no DS of the zone any more, before it is served unsigned", ArgsUsage: "ZONE",
		Action: keysAction(0, 0, "one ZONE", keysOf, func(c *cli.Command, z *zoneKeys, _ []string) error {
			changed, err := z.store.Gone(z.apex, z.policy.Policy(), time.Now())
			if err == nil && len(changed) > 0 {
				fmt.Fprintf(c.Root().Writer, "caches may hold the DS until %s: sign the zone until then\n", moment(time.Now().Add(z.policy.DSTTL+z.policy.ParentPropagation)))
			}
			return z.changed(c.Root().Writer, changed, err)
		}),
	}
}

// changed says what was noted.
func (z *zoneKeys) changed(w io.Writer, keys []*dnssec.Key, err error) error {
	if err != nil {
		return err
	}
	if len(keys) == 0 {
		fmt.Fprintf(w, "%s: that was known already; nothing is changed\n", z.name)
		return nil
	}
	for _, k := range keys {
		text := "the parent has its DS"
		if !k.Timing.DSGone.IsZero() {
			text = "the parent does not have its DS any more"
		}
		fmt.Fprintf(w, "%s: %s %d: %s\n", z.name, k.Role, k.Tag(), text)
	}
	fmt.Fprintln(w, takenUp)
	return nil
}

func keysRollCommand() *cli.Command {
	return &cli.Command{
		Name: "roll", Usage: "begin a roll now: make the successor of a key", ArgsUsage: "ZONE [ksk|zsk|csk]",
		Description: "All further steps follow by themselves, when caches know the new key. The roll of a KSK or CSK then\n" +
			"waits for its DS at the parent (gslb keys ds, gslb keys seen).",
		Action: keysAction(0, 1, "ZONE, and ksk, zsk or csk if any", signedHere, func(c *cli.Command, z *zoneKeys, words []string) error {
			now := time.Now()
			role, err := z.roleToRoll(words)
			if err != nil {
				return err
			}
			k, err := z.store.Roll(z.apex, z.policy.Policy(), role, now)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.Root().Writer, "%s: %s %d was made to follow\n", z.name, k.Role, k.Tag())
			if err := z.list(c.Root().Writer, now); err != nil {
				return err
			}
			fmt.Fprintln(c.Root().Writer, takenUp)
			return nil
		}),
	}
}

// roleToRoll is the role that was written or, without one, the only one there is.
func (z *zoneKeys) roleToRoll(words []string) (dnssec.Role, error) {
	roles := map[string]dnssec.Role{"ksk": dnssec.KSK, "zsk": dnssec.ZSK, "csk": dnssec.CSK}
	if len(words) > 0 {
		role, ok := roles[strings.ToLower(words[0])]
		if !ok {
			return 0, usagef("gslb keys roll: %q: want ksk, zsk or csk", words[0])
		}
		return role, nil
	}
	keys, err := z.store.Load(z.apex)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if k.Role != dnssec.CSK {
			return 0, usagef("gslb keys roll: %s has a KSK and a ZSK: say which one is to be rolled", z.name)
		}
	}
	return dnssec.CSK, nil
}

func keysRetireCommand() *cli.Command {
	return &cli.Command{
		Name: "retire", Usage: "end a key's time", ArgsUsage: "ZONE TAG",
		Description: "Where no other key can take its place, a successor is made first; the key signs on until caches know that.",
		Action: keysAction(1, 1, "ZONE and the key's TAG (gslb keys list shows it)", signedHere, func(c *cli.Command, z *zoneKeys, words []string) error {
			now := time.Now()
			k, err := z.key(words[0])
			if err != nil {
				return err
			}
			if k, err = z.store.Retire(z.apex, z.policy.Policy(), k.Tag(), now); err != nil {
				return err
			}
			fmt.Fprintf(c.Root().Writer, "%s: %s %d is to go\n", z.name, k.Role, k.Tag())
			if err := z.list(c.Root().Writer, now); err != nil {
				return err
			}
			fmt.Fprintln(c.Root().Writer, takenUp)
			return nil
		}),
	}
}

func keysImportCommand() *cli.Command {
	return &cli.Command{
		Name: "import", Usage: "take keys over from BIND's files, with their times", ArgsUsage: "ZONE FILE|DIRECTORY…",
		Description: "A FILE is one of K*.key, .private and .state, or their name without ending; of a DIRECTORY all keys of\n" +
			"the zone are taken that have not left it. The files that are read stay as they are.",
		Action: keysAction(1, -1, "ZONE and at least one FILE or DIRECTORY", keysOf, func(c *cli.Command, z *zoneKeys, words []string) error {
			taken, left, err := z.store.Import(z.apex, words, time.Now())
			if err != nil {
				return err
			}
			for _, file := range left {
				fmt.Fprintf(c.Root().Writer, "%s: left out: its key was taken out of the zone already\n", file)
			}
			keys, err := z.store.Load(z.apex) // that tells roles which the files may not
			if err != nil {
				return err
			}
			z.tellTaken(c.Root().Writer, keys, taken)
			if err := z.list(c.Root().Writer, time.Now()); err != nil {
				return err
			}
			fmt.Fprintln(c.Root().Writer, takenUp)
			return nil
		}),
	}
}

// tellTaken tells of the keys that were taken over, and of what the policy makes of them.
func (z *zoneKeys) tellTaken(w io.Writer, keys, taken []*dnssec.Key) {
	want := dnssec.Kind{Algorithm: z.policy.Policy().Algorithm, CSK: *z.policy.CSK}
	var other *dnssec.Key
	for _, k := range keys {
		if slices.ContainsFunc(taken, func(o *dnssec.Key) bool { return o.BaseName() == k.BaseName() }) {
			fmt.Fprintf(w, "%s: %s %d was taken over\n", z.name, k.Role, k.Tag())
			if k.Kind() != want {
				other = k
			}
		}
	}
	if other != nil && z.signed && !z.policy.Insecure {
		kind := other.Kind()
		fmt.Fprintf(w, "%s: the policy wants %s: all keys are rolled to that, step by step. Keys as these stay with algorithm = %q and csk = %v in a [dnssec.NAME]\n",
			z.name, want, kind.Algorithm, kind.CSK)
	}
}
