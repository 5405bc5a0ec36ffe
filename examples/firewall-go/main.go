// Command firewall-go drops packets by the network they come from.
package main

import (
	"github.com/pulumi-ebpf/pulumi-ebpf/sdk/go/ebpf"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// A rule of the config firewall-go:rules. The longest prefix that matches a packet's source decides.
type rule struct {
	Network string `json:"network"`
	Action  string `json:"action"`
}

type settings struct {
	source, device string
	sampleRate     int
	rules          []rule
}

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		return deploy(ctx, read(config.New(ctx, "")))
	})
}

func read(cfg *config.Config) settings {
	given := settings{
		source:     "../firewall/bpf/filter.bpf.c",
		device:     "eth0",
		sampleRate: 100,
		rules:      []rule{{Network: "203.0.113.0/24", Action: "DROP"}},
	}
	if source := cfg.Get("source"); source != "" {
		given.source = source
	}
	if device := cfg.Get("interface"); device != "" {
		given.device = device
	}
	if rate := cfg.GetInt("sampleRate"); rate != 0 {
		given.sampleRate = rate
	}
	cfg.GetObject("rules", &given.rules)
	return given
}

func deploy(ctx *pulumi.Context, given settings) error {
	filter, err := ebpf.NewProgram(ctx, "filter", &ebpf.ProgramArgs{
		Source:  pulumi.String(given.source),
		Globals: pulumi.Map{"sample_rate": pulumi.Int(given.sampleRate)},
	})
	if err != nil {
		return err
	}

	rows := ebpf.MapEntryArray{}
	for _, rule := range given.rules {
		rows = append(rows, ebpf.MapEntryArgs{
			Key:   pulumi.String(rule.Network),
			Value: pulumi.StringMap{"action": pulumi.String(rule.Action)},
		})
	}
	entries, err := ebpf.NewMapEntries(ctx, "rules", &ebpf.MapEntriesArgs{
		Map:     filter.MapRefs.MapIndex(pulumi.String("blocked")),
		Mode:    ebpf.EntriesModeAuthoritative,
		Entries: rows,
	})
	if err != nil {
		return err
	}

	// once the rules are in place: from its first packet on the filter judges by them
	attachment, err := ebpf.NewAttachment(ctx, "filter", &ebpf.AttachmentArgs{
		Program: filter.EntrypointRefs.MapIndex(pulumi.String("xdp_filter")),
		Xdp:     &ebpf.XdpArgs{Interface: pulumi.String(given.device)},
	}, pulumi.DependsOn([]pulumi.Resource{entries}))
	if err != nil {
		return err
	}

	entrypoint := filter.Entrypoints.MapIndex(pulumi.String("xdp_filter"))
	ctx.Export("verifiedInstructions", entrypoint.VerifiedInstructions())
	ctx.Export("mode", attachment.Link.Facts().MapIndex(pulumi.String("mode")))
	return nil
}
