import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { fromEngine } from "../../../provider/adapters/wire";
import { createLifecycle, readSettings } from "../../../provider/lifecycle";
import { definitions } from "../../../provider/resources";
import { openSources } from "../../../provider/sources";
import * as ebpf from "../../../sdk/nodejs";
import { Workshop } from "../btf/compile";

type Args = Record<string, unknown>;
type Kind = "Program" | "Map" | "MapEntries" | "Attachment" | "AddressSet" | "NetworkPolicy";

/** What a program in JavaScript, or a configuration that nobody checked, may hold anywhere. */
const values = [null, -1.5, "x", true, [], {}, [null], [{}], { a: null }];

const connection = { host: "edge-1", proxy: { host: "bastion" } };
const spec = "shop/prod/Program/filter";
const map = { connection, spec, map: "seen", type: "hash", keySize: 4, valueSize: 8, maxEntries: 4 };
const hosts = ebpf.fleet({ hosts: [{ host: "a" }], rollout: { canary: 1, health: { command: "true" } } });
const confirm = { withinSeconds: 30 };
const peers = [{ cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] }, { addressSet: { spec, family: 4 } }];
const rule = { name: "a", from: peers, ports: [{ protocol: "tcp", port: 1, endPort: 2 }], action: "deny" };
const packet = { protocol: "tcp", source: "10.0.0.1", destination: "10.0.0.2", destinationPort: 1 };

const examples = (source: string): Record<Kind, Args[]> => ({
  Program: [
    { connection, source, load: ["xdp"], globals: { a: 1 }, maps: { seen: map }, confirm },
    { hosts, source },
  ],
  Map: [
    { connection, type: "hash", key: { a: "u32", b: ["u8", 4] }, value: { enum: { A: 1 } }, maxEntries: 4 },
    {
      hosts,
      type: "hash_of_maps",
      key: "u32",
      inner: { type: "hash", key: "u32", value: "u64", maxEntries: 1 },
    },
  ],
  MapEntries: [
    { map, entries: [{ key: "0x00000001", value: "0x0000000000000001" }], authoritative: true, confirm },
    { map, file: { path: source, format: "csv" } },
  ],
  Attachment: [
    { program: { connection, spec, entrypoint: "xdp", type: "xdp" }, xdp: { interface: "eth0" }, confirm },
    {
      program: { connection, spec, entrypoint: "tc", type: "sched_cls" },
      tcx: { interface: "eth0", direction: "ingress", order: { before: { spec } } },
    },
  ],
  AddressSet: [
    { connection, cidrs: ["10.0.0.0/8"] },
    { hosts, file: source },
  ],
  NetworkPolicy: [
    {
      connection,
      interfaces: ["eth0"],
      ingress: [rule],
      egress: [],
      management: ["10.0.0.1/32"],
      tests: [{ packet, expect: "allow" }],
      confirm,
    },
  ],
});

/** `args` with one member at a time, at any depth, in another form. */
function* spoilt(args: Args, at = ""): Generator<{ args: Args; path: string }> {
  for (const [name, member] of Object.entries(args)) {
    const path = `${at}.${name}`;
    const put = (value: unknown): Args =>
      (Array.isArray(args)
        ? args.map((item, i) => (String(i) === name ? value : item))
        : { ...args, [name]: value }) as Args;
    for (const value of values) yield { args: put(value), path: `${path} = ${JSON.stringify(value)}` };
    if (member === null || typeof member !== "object" || pulumi.Output.isInstance(member)) continue;
    for (const inner of spoilt(member as Args, path)) yield { args: put(inner.args), path: inner.path };
  }
}

describe("whatever a property holds", () => {
  let workshop: Workshop;
  let source: string;

  before(() => {
    workshop = new Workshop();
    source = workshop.object("objects.bpf.c");
  });
  after(() => workshop.remove());

  const lifecycle = createLifecycle({
    definitions,
    openSession: () => assert.fail("a preview offline dials nobody"),
    openSources,
    settings: readSettings((key) => (key === "ebpf:preview" ? "offline" : undefined), {}),
    report: () => undefined,
  });

  for (const kind of ["Program", "Map", "MapEntries", "Attachment", "AddressSet", "NetworkPolicy"] as const) {
    it(`${kind} answers with problems of properties, and never with a failure of our own`, async () => {
      const registered = new Map<string, Args>();
      await pulumi.runtime.setMocks(
        {
          newResource: async ({ name, inputs }) => {
            registered.set(name, inputs as Args);
            return { id: name, state: inputs as Args };
          },
          call: () => assert.fail("no function is called"),
        },
        "shop",
        "prod",
        true,
      );
      const Resource = ebpf[kind] as unknown as new (name: string, args: Args) => pulumi.CustomResource;
      const wrong: string[] = [];
      let refused = 0;
      let number = 0;
      for (const example of examples(source)[kind]) {
        for (const { args, path } of spoilt(example)) {
          // an odd number of values: of any property each comes both ways, as a value here and as an Output there
          const later = Object.entries(args).map(([property, value]) => [property, pulumi.output(value)]);
          const given = number % 2 === 0 ? args : (Object.fromEntries(later) as Args);
          const name = `r${number++}`;
          try {
            const resource = new Resource(name, given);
            await new Promise<void>((resolve) => resource.urn.apply(() => resolve()));
            const { failures } = await lifecycle.check(kind, undefined, fromEngine(registered.get(name)!));
            if (failures.length > 0) refused++;
          } catch (error) {
            wrong.push(`${path}${given === args ? "" : ", by Outputs"}: ${String(error)}`);
          }
        }
      }
      assert.deepEqual(wrong, []);
      assert.ok(refused > number / 2, `${refused} of ${number} refused`);
    });
  }
});
