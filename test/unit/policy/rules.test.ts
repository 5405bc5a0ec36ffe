import assert from "node:assert/strict";
import type { ResourceValidationPolicy, StackValidationPolicy } from "@pulumi/policy";
import {
  forgetReason,
  hooks,
  hostKeys,
  hostMemory,
  managementPeers,
  managementPorts,
  mapMemory,
  programTypes,
} from "../../../provider/policy/index.js";
import { EbpfError } from "../../../provider/errors.js";

const key = "ssh-ed25519 AAAAC3Nz";
const connection = { host: "edge-1", hostKey: key };
const tokens = (kind: string) => [`ebpf:index:${kind}`, `pulumi-nodejs:dynamic/ebpf:${kind}`];

/** What the engine would be told, by the two types that a kind has; both must agree. */
function judged(
  policy: ResourceValidationPolicy,
  kind: string,
  props: Record<string, unknown>,
  configuration: object = {},
): string[] {
  const [plugin, dynamic] = tokens(kind).map((type) => violations(policy, type, props, configuration));
  assert.deepEqual(plugin, dynamic);
  return plugin!;
}

function violations(
  policy: ResourceValidationPolicy,
  type: string,
  props: object,
  configuration: object = {},
): string[] {
  const found: string[] = [];
  const args = { type, props, getConfig: () => configuration };
  const validate = policy.validateResource as (args: unknown, report: (text: string) => void) => void;
  validate(args, (text) => found.push(text));
  return found;
}

function object(maps: object, entrypoints: object = {}) {
  return { fileName: "filter.bpf.o", blob: "0", globals: {}, maps, entrypoints };
}

const hash = (maxEntries: number) => ({ type: "hash", keySize: 4, valueSize: 12, maxEntries });

describe("policy: host keys", () => {
  it("wants the key inline, of the bastion too", () => {
    assert.deepEqual(judged(hostKeys(), "Program", { connection }), []);
    const proxy = { host: "bastion" };
    assert.match(
      judged(hostKeys(), "Program", { connection: { ...connection, proxy } }).join(),
      /^connection\.proxy\.hostKey: is missing/,
    );
    assert.match(
      judged(hostKeys(), "Map", { connection: { host: "edge-1" } }).join(),
      /^connection\.hostKey:/,
    );
    assert.equal(judged(hostKeys(), "MapEntries", { connection: { host: "a", hostKey: "" } }).length, 1);
  });

  it("takes known_hosts where that is allowed, and this machine without SSH always", () => {
    assert.deepEqual(judged(hostKeys({ knownHosts: true }), "Program", { connection: { host: "a" } }), []);
    assert.deepEqual(judged(hostKeys(), "Program", { connection: { host: "a", transport: "local" } }), []);
  });

  it("takes keys of allowed algorithms only", () => {
    const policy = hostKeys({ algorithms: ["ssh-ed25519"] });
    assert.deepEqual(judged(policy, "Program", { connection }), []);
    const [text] = judged(policy, "Program", { connection: { host: "a", hostKey: "ssh-rsa AAAA" } });
    assert.equal(text, "connection.hostKey: is a key of ssh-rsa; allowed are ssh-ed25519");
  });

  it("says nothing about other packages, nor about a connection that is not known yet", () => {
    assert.deepEqual(violations(hostKeys(), "aws:ec2/instance:Instance", { connection: {} }), []);
    assert.deepEqual(violations(hostKeys(), "pulumi-nodejs:dynamic:Resource", { connection: {} }), []);
    assert.deepEqual(judged(hostKeys(), "Program", {}), []);
  });

  it("looks at each host of a fleet, with what all connections have in common", () => {
    const hosts = { hosts: [{ connection }, { connection: { host: "edge-2" } }] };
    assert.match(
      judged(hostKeys(), "Program", { hosts }).join(),
      /^hosts\.hosts\[1\]\.connection\.hostKey: is/,
    );
    const common = { ...hosts, connection: { hostKey: key } };
    assert.deepEqual(judged(hostKeys(), "Program", { hosts: common }), []);
  });

  it("prefers the configuration of the pack to the author's options", () => {
    const props = { connection: { host: "a" } };
    assert.deepEqual(judged(hostKeys(), "Program", props, { knownHosts: true }), []);
    assert.equal(judged(hostKeys({ knownHosts: true }), "Program", props, { knownHosts: false }).length, 1);
  });
});

describe("policy: memory of maps", () => {
  it("counts keys and values as the kernel rounds them up", () => {
    const shape = hash(1024); // 8 + 16 bytes each
    const props = { specId: "p/s/Map/flows", shape };
    assert.deepEqual(judged(mapMemory({ perMap: 24 * 1024 }), "Map", props), []);
    for (const form of [shape, JSON.stringify(shape)]) {
      assert.deepEqual(judged(mapMemory({ perMap: 24 * 1024 - 1 }), "Map", { ...props, shape: form }), [
        'maxEntries: map "flows" takes 24 KiB (1024 entries of 24 bytes); allowed are 24 KiB for a map',
      ]);
    }
  });

  it("counts no keys of arrays, a value per processor, pages of arenas, bytes of rings", () => {
    const shapes: [object, number][] = [
      [{ type: "array", keySize: 4, valueSize: 4, maxEntries: 10 }, 80],
      [{ type: "reuseport_sockarray", keySize: 4, valueSize: 8, maxEntries: 10 }, 80],
      [{ type: "percpu_array", keySize: 4, valueSize: 8, maxEntries: 10 }, 320],
      [{ type: "lru_percpu_hash", keySize: 4, valueSize: 8, maxEntries: 10 }, 400],
      [{ type: "lpm_trie", keySize: 8, valueSize: 4, maxEntries: 10 }, 160],
      [{ type: "ringbuf", keySize: 0, valueSize: 0, maxEntries: 4096 }, 4096],
      [{ type: "arena", keySize: 0, valueSize: 0, maxEntries: 2 }, 8192],
      [{ type: "queue", keySize: 0, valueSize: 9, maxEntries: 1 }, 16],
      [{ type: "task_storage", keySize: 4, valueSize: 8, maxEntries: 0 }, 0],
    ];
    for (const [shape, bytes] of shapes) {
      const props = { specId: "p/s/Map/m", shape };
      const text = JSON.stringify(shape);
      if (bytes > 0) {
        const below = judged(mapMemory({ perMap: Math.max(1, bytes - 1), processors: 4 }), "Map", props);
        assert.equal(below.length, 1, text);
      }
      const at = judged(mapMemory({ perMap: Math.max(1, bytes), processors: 4 }), "Map", props);
      assert.deepEqual(at, [], text);
    }
  });

  it("counts the maps that an object defines, not those that it shares", () => {
    const props = { object: object({ a: hash(1000), b: hash(1000), c: hash(1000) }), maps: { c: {} } };
    assert.deepEqual(judged(mapMemory({ perProgram: 48_000 }), "Program", props), []);
    assert.deepEqual(judged(mapMemory({ perProgram: 47_999 }), "Program", props), [
      "source: its 2 maps take 46.9 KiB; allowed are 46.9 KiB for a Program",
    ]);
    const packed = { ...props, object: JSON.stringify(props.object) };
    for (const form of [props, packed])
      assert.equal(judged(mapMemory({ perMap: 10_000 }), "Program", form).length, 2);
  });

  it("has no ceiling unless one is given, and none for what preview does not know yet", () => {
    const props = { specId: "p/s/Map/m", shape: hash(2 ** 40) };
    assert.deepEqual(judged(mapMemory(), "Map", props), []);
    assert.deepEqual(judged(mapMemory({ perMap: 1 }), "Map", { specId: "p/s/Map/m" }), []);
    assert.deepEqual(judged(mapMemory({ perMap: 1, perProgram: 1 }), "Program", {}), []);
  });

  it("sums up what one stack puts on each host", () => {
    const policy = hostMemory({ perHost: 40_000 });
    const on = (host: string, name: string, type: string) => ({
      type,
      props: { connection: { host }, specId: `p/s/Map/${name}`, shape: hash(1000) },
    });
    const [plugin, dynamic] = tokens("Map");
    const resources = [
      on("edge-1", "a", plugin!),
      on("edge-1", "b", dynamic!),
      on("edge-2", "c", plugin!),
      { type: "other:index:Map", props: on("edge-2", "d", "").props },
      {
        type: plugin!,
        props: {
          hosts: { hosts: [{ connection: { host: "edge-3" } }, { connection: { host: "edge-4" } }] },
          specId: "p/s/Map/e",
          shape: hash(1000),
        },
      },
      on("edge-4", "f", plugin!),
    ];
    assert.deepEqual(stackViolations(policy, resources), [
      "maxEntries: the 2 maps of this stack on edge-1 take 46.9 KiB; allowed are 39.1 KiB for a host; " +
        'the largest is "a" with 23.4 KiB',
      "maxEntries: the 2 maps of this stack on edge-4 take 46.9 KiB; allowed are 39.1 KiB for a host; " +
        'the largest is "e" with 23.4 KiB',
    ]);
  });
});

function stackViolations(policy: StackValidationPolicy, resources: object[]): string[] {
  const found: string[] = [];
  const validate = policy.validateStack as (args: unknown, report: (text: string) => void) => void;
  validate({ resources, getConfig: () => ({}) }, (text) => found.push(text));
  return found;
}

describe("policy: hooks and program types", () => {
  it("refuses a hook that is not allowed, also as the fallback of tcx", () => {
    const policy = hooks({ allowed: ["xdp", "tcx"] });
    assert.deepEqual(judged(policy, "Attachment", { xdp: { interface: "eth0" } }), []);
    assert.deepEqual(judged(policy, "Attachment", { tc: { interface: "eth0" } }), [
      "tc: the hook tc is not allowed; allowed are xdp, tcx",
    ]);
    assert.deepEqual(judged(policy, "Attachment", { tcx: { fallback: "tc" } }), [
      "tcx.fallback: the hook tc is not allowed; allowed are xdp, tcx",
    ]);
    assert.deepEqual(judged(hooks(), "Attachment", { cgroup: { path: "/" } }), []);
  });

  it("refuses programs of types that are not allowed, where they are loaded and where they are attached", () => {
    const policy = programTypes({ allowed: ["xdp"] });
    const entrypoints = { filter: { type: "xdp" }, spy: { type: "kprobe" } };
    const props = { object: object({}, entrypoints) };
    const reason = '"spy" is a program of type kprobe; allowed are xdp';
    assert.deepEqual(judged(policy, "Program", props), [`source: ${reason}`]);
    assert.deepEqual(judged(policy, "Program", { ...props, load: ["spy"] }), [`load: ${reason}`]);
    const packed = { object: JSON.stringify(props.object) };
    assert.deepEqual(judged(policy, "Program", packed), [`source: ${reason}`]);
    const program = { spec: "other/stack/Program/p", entrypoint: "spy", type: "kprobe" };
    assert.deepEqual(judged(policy, "Attachment", { program }), [`program: ${reason}`]);
    assert.deepEqual(judged(programTypes(), "Program", props), []);
  });
});

describe("policy: reasons to forget", () => {
  it("wants a reason beside onUnreachable: forget", () => {
    const property = "onUnreachableReason";
    assert.deepEqual(judged(forgetReason(), "Program", {}), []);
    assert.deepEqual(judged(forgetReason(), "Program", { onUnreachable: "error" }), []);
    assert.match(
      judged(forgetReason(), "Program", { onUnreachable: "forget" }).join(),
      /^onUnreachableReason: is missing/,
    );
    assert.equal(judged(forgetReason(), "Map", { onUnreachable: "forget", [property]: " " }).length, 1);
    assert.deepEqual(judged(forgetReason(), "Map", { onUnreachable: "forget", [property]: "sold" }), []);
  });

  it("wants it in the given form", () => {
    const policy = forgetReason({ pattern: "^OPS-\\d+" });
    const forget = (onUnreachableReason: string) => ({ onUnreachable: "forget", onUnreachableReason });
    assert.deepEqual(judged(policy, "Map", forget("OPS-12 sold")), []);
    assert.deepEqual(judged(policy, "Map", forget("sold")), [
      "onUnreachableReason: does not match ^OPS-\\d+",
    ]);
  });
});

describe("policy: options", () => {
  it("tells all that is wrong with them, at the author's line", () => {
    const wrong: [() => unknown, RegExp][] = [
      [() => hooks({ allowed: ["xpd"] }), /allowed\[0\].*xdp/s],
      [() => programTypes({ allowed: ["sched_cl"] }), /did you mean "sched_cls"/],
      [() => mapMemory({ perMap: 0, processors: 1.5 }), /perMap.*processors/s],
      [() => forgetReason({ pattern: "(" }), /pattern.*regular expression/s],
      [() => hostKeys({ knownHost: true } as never), /did you mean "knownHosts"/],
    ];
    for (const [make, text] of wrong) {
      assert.throws(make, (error: unknown) => EbpfError.is(error, "invalid") && text.test(error.render()));
    }
  });

  it("are told to the engine with their defaults, so that it checks a pack's configuration", () => {
    const { configSchema } = mapMemory({ perMap: 1024 });
    const { perMap, perProgram, processors } = configSchema!.properties;
    assert.deepEqual([perMap?.type, perMap?.default], ["integer", 1024]);
    assert.deepEqual([perProgram?.type, perProgram?.default], ["integer", undefined]);
    assert.equal(processors?.default, 64);
  });
});

describe("policy: management of hosts behind network policies", () => {
  const rule = (change: object) => ({ name: "a", action: "allow", ...change });
  const ssh = [{ protocol: "TCP", port: 22 }];

  it("wants management peers or confirm where packets are dropped by default", () => {
    const peers = (props: Record<string, unknown>) => judged(managementPeers(), "NetworkPolicy", props);
    for (const direction of ["ingress", "egress"]) {
      assert.match(peers({ [direction]: [] }).join(), /^management: is empty: the policy drops by default/);
      assert.deepEqual(peers({ [direction]: [], management: ["192.0.2.0/24"] }), []);
      assert.deepEqual(peers({ [direction]: [], confirm: { withinSeconds: 30 } }), []);
      assert.deepEqual(peers({ [direction]: [], mode: "audit" }), []);
    }
    assert.deepEqual(judged(managementPeers(), "AddressSet", {}), []);
  });

  it("refuses everyone at a management port, however it is written", () => {
    const ports = (...ingress: object[]) => judged(managementPorts(), "NetworkPolicy", { ingress });
    const everyone = [{ any: true }, { cidr: "0.0.0.0/0" }, { cidr: "::/0" }].map((peer) => ({
      from: [peer],
    }));
    for (const from of [{}, ...everyone]) {
      assert.equal(ports(rule({ ...from, ports: ssh })).length, 1, JSON.stringify(from));
    }
    for (const wide of [undefined, [{ protocol: 6 }], [{ protocol: "TCP", port: 20, endPort: 30 }]]) {
      assert.equal(ports(rule({ ports: wide })).length, 1, JSON.stringify(wide));
    }
    assert.deepEqual(ports(rule({ from: [{ self: true }, { any: true }], ports: ssh })), [
      'ingress[0].from[1]: rule "a" allows everyone to TCP 22',
    ]);
    assert.deepEqual(
      ports(
        rule({ from: [{ cidr: "192.0.2.0/24" }], ports: ssh }),
        rule({ from: [{ addressSet: "p/s/AddressSet/a" }] }),
        rule({ ports: [{ protocol: "TCP", port: 443 }, { protocol: "UDP" }] }),
        rule({ action: "deny" }),
      ),
      [],
    );
  });

  it("takes other ports from its author and from the pack's configuration", () => {
    const ingress = [rule({ ports: [{ protocol: "TCP", port: 3389 }] })];
    assert.equal(judged(managementPorts({ ports: [22, 3389] }), "NetworkPolicy", { ingress }).length, 1);
    assert.equal(judged(managementPorts(), "NetworkPolicy", { ingress }, { ports: [3389] }).length, 1);
    assert.throws(() => managementPorts({ ports: [0] }), EbpfError);
  });
});
