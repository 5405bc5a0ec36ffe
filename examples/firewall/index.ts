import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "pulumi-ebpf";

/** One host of the config `firewall:hosts`. */
interface Host {
  /** Name of its resources. */
  name: string;
  connection: ebpf.ConnectionArgs;
  /** Interface whose packets are judged. */
  interface: string;
  /** Interface that the foreign object guards, if any. */
  foreignInterface?: string;
}

/** One rule of the config `firewall:rules`. */
interface Rule {
  /** IPv4 network, `203.0.113.0/24`. The longest prefix that matches a packet's source decides. */
  network: string;
  action: "PASS" | "DROP";
}

const config = new pulumi.Config();
const hosts = config.requireObject<Host[]>("hosts");
const rules = config.getObject<Rule[]>("rules") ?? [{ network: "203.0.113.0/24", action: "DROP" }];
const sampleRate = config.getNumber("sampleRate") ?? 100;

/** An object that somebody else compiled: xdp-filter of Debian's package xdp-tools. It passes listed addresses only. */
const foreignObject = config.get("foreignObject");
/** Its flag for "compare with the packet's source". */
const matchSource = 1;
const allowed = config.getObject<string[]>("allowed") ?? [];

export const filters: Record<string, pulumi.Output<unknown>> = {};

for (const { name, connection, interface: device, foreignInterface } of hosts) {
  const filter = new ebpf.Program(`filter-${name}`, {
    connection,
    source: "./bpf/filter.bpf.c",
    globals: { sample_rate: sampleRate },
  });

  const entries = new ebpf.MapEntries(`rules-${name}`, {
    map: filter.map("blocked"),
    mode: "authoritative",
    entries: rules.map(({ network, action }) => ({ key: network, value: { action } })),
  });

  // once the rules are in place: from its first packet on the filter judges by them
  const attachment = new ebpf.Attachment(
    `filter-${name}`,
    { program: filter.entrypoint("xdp_filter"), xdp: { interface: device, mode: "auto" } },
    { dependsOn: entries },
  );

  filters[name] = pulumi.all([filter.entrypoints, attachment.link]).apply(([entrypoints, link]) => ({
    verifiedInstructions: entrypoints["xdp_filter"]?.verifiedInstructions,
    mode: link?.facts["mode"],
  }));

  if (foreignObject !== undefined && foreignInterface !== undefined) {
    const foreign = new ebpf.Program(`foreign-${name}`, { connection, source: foreignObject });

    const addresses = new ebpf.MapEntries(`allowed-${name}`, {
      map: foreign.map("filter_ipv4"),
      // the program counts hits in the upper bits of the values
      mode: "seed",
      formats: { key: "ipv4" },
      entries: allowed.map((address) => ({ key: address, value: matchSource })),
    });

    new ebpf.Attachment(
      `foreign-${name}`,
      { program: foreign, xdp: { interface: foreignInterface } },
      { dependsOn: addresses },
    );
  }
}
