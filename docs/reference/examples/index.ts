// Every resource and function once: docs/reference shows these, and the tests compile them.
import * as ebpf from "pulumi-ebpf";

// example: Provider
const edge = new ebpf.Provider("edge", {
  connection: { host: "edge-1.example.net", user: "deploy" },
  preview: "host",
});

new ebpf.Map("counters", { type: "percpu_array", value: "u64", maxEntries: 16 }, { provider: edge });
// end

// example: Program
const filter = new ebpf.Program("filter", {
  connection: { host: "edge-1.example.net" },
  source: "./bpf/filter.bpf.c",
  globals: { sample_rate: 100 },
});

export const instructions = filter.entrypoints.apply((all) => all["xdp_filter"]?.verifiedInstructions);
// end

// example: Map
const sessions = new ebpf.Map("sessions", {
  connection: { host: "edge-1.example.net" },
  type: "lru_hash",
  key: "ipv4",
  value: { packets: "u64", bytes: "u64" },
  maxEntries: 65_536,
});

export const { ref: sharedSessions } = sessions;
// end

// example: MapEntries
const blocked = new ebpf.MapEntries("blocked", {
  map: filter.map("blocked"),
  mode: "authoritative",
  entries: [
    { key: "203.0.113.0/24", value: { action: "DROP" } },
    { key: "203.0.113.7/32", value: { action: "PASS" } },
  ],
});
// end

// example: Attachment
new ebpf.Attachment(
  "filter-eth0",
  { program: filter.entrypoint("xdp_filter"), xdp: { interface: "eth0" } },
  { dependsOn: blocked },
);
// end

// example: AddressSet
const offices = new ebpf.AddressSet("offices", {
  connection: { host: "edge-1.example.net" },
  cidrs: ["198.51.100.0/24", "2001:db8:7::/48"],
});

export const { ref: sharedOffices } = offices;
// end

// example: NetworkPolicy
new ebpf.NetworkPolicy("web", {
  connection: { host: "edge-1.example.net" },
  interfaces: ["eth0"],
  ingress: [
    { name: "public https", from: [{ any: true }], ports: [{ protocol: "TCP", port: 443 }] },
    { name: "ssh from offices", from: [{ addressSet: offices }], ports: [{ protocol: "TCP", port: 22 }] },
  ],
  confirm: { withinSeconds: 30 },
  tests: [{ from: "192.0.2.9", protocol: "TCP", port: 25, expect: "deny" }],
});
// end

// example: getHostFeatures
const features = ebpf.getHostFeatures({ connection: { host: "edge-1.example.net" } });

export const tcx = features.then(({ links }) => links["tcxLink"]);
// end

// example: getProgram
const foreign = ebpf.getProgram({
  connection: { host: "edge-1.example.net" },
  pin: "/sys/fs/bpf/foreign/prog",
});

export const foreignTag = foreign.then(({ tag }) => tag);
// end

// example: getMap
const verdicts = ebpf.getMapOutput({ map: filter.map("verdicts") });

export const keyType = verdicts.keyType;
// end

// example: getMapEntries
const counters = ebpf.getMapEntriesOutput({ map: filter.map("verdicts"), limit: 10 });

export const dropped = counters.entries;
// end

// example: getAttachments
const onEth0 = ebpf.getAttachments({ connection: { host: "edge-1.example.net" }, interface: "eth0" });

export const programs = onEth0.then(({ attachments }) => attachments.map(({ programName }) => programName));
// end

// example: inspectObject
const object = ebpf.inspectObject({ source: "./bpf/filter.bpf.c" });

export const names = object.then(({ entrypoints }) => Object.keys(entrypoints));
// end
