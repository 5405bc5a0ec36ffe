import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "../../../sdk/nodejs";
import { Workshop } from "../btf/compile";
import { type Inputs as Args, Preview } from "./preview";

type Kind = "Program" | "Map" | "MapEntries" | "Attachment" | "AddressSet" | "NetworkPolicy";

/** What a program in JavaScript, or a configuration that nobody checked, may hold anywhere. */
const values = [null, -1.5, "x", true, [], {}, [null], [{}], { a: null }];

const connection = { host: "edge-1", proxy: { host: "bastion" } };
const spec = "shop/prod/Program/filter";
const map = { connection, spec, map: "inner_a", type: "hash", keySize: 4, valueSize: 8, maxEntries: 16 };
const hosts = ebpf.fleet({ hosts: [{ host: "a" }], rollout: { canary: 1, health: { command: "true" } } });
const confirm = { withinSeconds: 30 };
const peers = [
  { cidr: "10.0.0.0/8", except: ["10.1.0.0/16"] },
  { addressSet: "shop/prod/AddressSet/partners" },
];
const rule = { name: "a", from: peers, ports: [{ protocol: "TCP", port: 1, endPort: 2 }], action: "allow" };

/** Each is right as it is. */
const examples = (object: string, rows: string, networks: string): Record<Kind, Args[]> => ({
  Program: [
    {
      connection,
      source: object,
      load: ["first"],
      globals: { sample_rate: 1 },
      maps: { inner_a: map },
      confirm,
    },
    { hosts, source: object },
  ],
  Map: [
    { connection, type: "hash", key: { a: "u32", b: ["u8", 4] }, value: { enum: { A: 1 } }, maxEntries: 4 },
    {
      hosts,
      type: "hash_of_maps",
      key: "u32",
      maxEntries: 4,
      inner: { type: "hash", key: "u32", value: "u64", maxEntries: 1 },
    },
  ],
  MapEntries: [
    { map, entries: [{ key: "0x00000001", value: "0x0000000000000001" }], mode: "own", confirm },
    { map, file: rows, format: "csv" },
  ],
  Attachment: [
    { program: { connection, spec, entrypoint: "xdp", type: "xdp" }, xdp: { interface: "eth0" }, confirm },
    {
      program: { connection, spec, entrypoint: "tc", type: "sched_cls" },
      tcx: { interface: "eth0", direction: "ingress", order: { before: { spec: `${spec}2` } } },
    },
  ],
  AddressSet: [
    { connection, cidrs: ["10.0.0.0/8"] },
    { hosts, file: networks },
  ],
  NetworkPolicy: [
    {
      connection,
      interfaces: ["eth0"],
      ingress: [rule],
      egress: [],
      management: ["10.0.0.1/32"],
      tests: [{ from: "10.0.0.1", protocol: "TCP", port: 1, expect: "allow" }],
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

/** Says of each resource what check answers, or what it failed with. */
class Answers extends Preview {
  readonly broken: string[] = [];

  protected override async check(type: string, inputs: Args): Promise<Args> {
    try {
      return await super.check(type, inputs);
    } catch (error) {
      this.broken.push(String(error));
      return {};
    }
  }
}

describe("whatever a property holds", () => {
  let workshop: Workshop;
  let files: [object: string, rows: string, networks: string];
  let preview: Answers;

  before(() => {
    workshop = new Workshop();
    const rows = workshop.file("rows.csv", Buffer.from("key,value\n0x00000001,0x0000000000000001\n"));
    const networks = workshop.file("networks", Buffer.from("10.0.0.0/8\n"));
    files = [workshop.object("objects.bpf.c"), rows, networks];
  });
  after(() => workshop.remove());

  beforeEach(async () => {
    preview = new Answers();
    await pulumi.runtime.setMocks(preview, "shop", "prod", true);
  });

  for (const kind of ["Program", "Map", "MapEntries", "Attachment", "AddressSet", "NetworkPolicy"] as const) {
    const Resource = ebpf[kind] as unknown as new (name: string, args: Args) => pulumi.CustomResource;
    let number = 0;

    /** What check, or the SDK before it, said of it. */
    async function answer(args: Args): Promise<{ problems: string[]; broken: string[] }> {
      const [problems, broken] = [preview.failures.length, preview.broken.length];
      try {
        const resource = new Resource(`r${number++}`, args);
        await new Promise<void>((resolve) => resource.urn.apply(() => resolve()));
      } catch (error) {
        preview.broken.push(String(error));
      }
      return { problems: preview.failures.slice(problems), broken: preview.broken.slice(broken) };
    }

    it(`${kind} answers with problems of properties, and never with a failure of our own`, async () => {
      const wrong: string[] = [];
      for (const none of [undefined, null, "x"]) {
        const { problems, broken } = await answer(none as unknown as Args);
        assert.deepEqual(broken, []);
        assert.notDeepEqual(problems, []);
      }
      let [refused, asked] = [0, 0];
      for (const example of examples(...files)[kind]) {
        assert.deepEqual(await answer(example), { problems: [], broken: [] });
        for (const { args, path } of spoilt(example)) {
          // an odd number of values: of any property each comes both ways, as a value here and as an Output there
          const later = Object.entries(args).map(([property, value]) => [property, pulumi.output(value)]);
          const given = asked++ % 2 === 0 ? args : (Object.fromEntries(later) as Args);
          const { problems, broken } = await answer(given);
          if (problems.length > 0) refused++;
          wrong.push(...broken.map((text) => `${path}${given === args ? "" : ", by Outputs"}: ${text}`));
        }
      }
      assert.deepEqual(wrong, []);
      assert.ok(refused > asked / 2, `${refused} of ${asked} refused`);
    });
  }
});
