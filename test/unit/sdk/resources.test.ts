import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as pulumi from "@pulumi/pulumi";
import { functions } from "../../../provider/functions";
import * as ebpf from "../../../sdk/nodejs";
import { protectCredentials } from "../../../sdk/nodejs/connection";
import { Workshop } from "../btf/compile";
import { type Inputs, Preview } from "./preview";

function valueOf<T>(output: pulumi.Output<T>): Promise<T> {
  return new Promise((resolve) => output.apply(resolve));
}

const SECRET = "1b47061264138c4ac30d75fd1eb44270";

describe("the SDK", () => {
  const connection = { host: "edge-1", user: "deploy" };
  let workshop: Workshop;
  let source: string;
  let preview: Preview;

  before(() => {
    workshop = new Workshop();
    source = workshop.object("objects.bpf.c");
  });
  after(() => workshop.remove());

  beforeEach(async () => {
    preview = new Preview();
    await pulumi.runtime.setMocks(preview, "shop", "prod", true);
  });

  it("registers a constant provider text under the dynamic token", async () => {
    await valueOf(new ebpf.Program("filter", { connection, source }).urn);
    const [{ type, inputs }] = preview.registered as [(typeof preview.registered)[0]];
    assert.equal(type, "pulumi-nodejs:dynamic/ebpf:Program");
    assert.equal(
      inputs["__provider"],
      'exports.handler = () => require("pulumi-ebpf/provider/dynamic").provider("Program");',
    );
    assert.equal(inputs["specId"], "shop/prod/Program/filter");
  });

  it("makes secrets of credentials, the bastion's too, and of nothing else", async () => {
    const proxy = { host: "bastion", privateKey: "PROXY KEY" };
    const given = {
      ...connection,
      password: "hunter2",
      privateKey: "KEY",
      privateKeyPassword: "pass",
      proxy,
    };
    const secret = async (value: unknown) =>
      pulumi.Output.isInstance(value) && (await pulumi.isSecret(value));
    const names = async (value: object) => {
      const flags = await Promise.all(
        Object.entries(value).map(async ([name, v]) => ((await secret(v)) ? [name] : [])),
      );
      return flags.flat().sort();
    };
    const sent = protectCredentials(given) as { proxy: object };
    assert.deepEqual(await names(sent), ["password", "privateKey", "privateKeyPassword"]);
    assert.deepEqual(await names(sent.proxy), ["privateKey"]);
    const later = protectCredentials(pulumi.output(given)) as pulumi.Output<object>;
    assert.deepEqual(await names(await valueOf(later)), ["password", "privateKey", "privateKeyPassword"]);
    await valueOf(new ebpf.Program("filter", { connection: given, source }).urn);
    assert.ok(Object.values(preview.registered[0]!.inputs["connection"] as object).includes(SECRET));
  });

  it("keeps names readable that were taken out of a reference with credentials", async () => {
    const filter = new ebpf.Program("filter", {
      connection: { ...connection, password: "x" },
      source,
      load: ["first"],
    });
    await valueOf(new ebpf.Attachment("web", { program: filter, xdp: { interface: "eth0" } }).urn);
    const { inputs } = preview.registered.find(({ name }) => name === "web")!;
    assert.deepEqual(inputs["program"], {
      spec: "shop/prod/Program/filter",
      entrypoint: "first",
      type: "xdp",
      attachType: "xdp",
    });
    assert.ok(Object.values(inputs["connection"] as object).includes(SECRET));
    assert.deepEqual(preview.failures, []);
  });

  it("lifts maps of a Program and of a Map, with their types", async () => {
    const filter = new ebpf.Program("filter", { connection, source });
    const value = { packets: "u64", bytes: "u64" };
    const sessions = new ebpf.Map("sessions", {
      connection,
      type: "lru_hash",
      key: "u32",
      value,
      maxEntries: 8,
    });
    const blocked = { map: filter.map("blocked"), entries: [{ key: "203.0.113.0/24", value: 1 }] };
    await valueOf(new ebpf.MapEntries("blocked", blocked).urn);
    await valueOf(
      new ebpf.MapEntries("feed", { map: sessions, entries: [{ key: 1, value: { packets: 1, bytes: 2 } }] })
        .urn,
    );
    assert.deepEqual(preview.failures, []);
    const lifted = preview.inputsOf("feed")["map"] as Inputs;
    assert.equal(lifted["spec"], "shop/prod/Map/sessions");
    assert.equal(lifted["valueSize"], 16);
    assert.deepEqual(preview.inputsOf("feed")["connection"], connection);
    assert.equal(preview.inputsOf("blocked")["secret"], undefined);
  });

  it("keeps the order of a struct's members, which the engine would sort", async () => {
    const value = { zulu: "u8", alpha: "u64" };
    await valueOf(new ebpf.Map("m", { connection, type: "array", value, maxEntries: 1 }).urn);
    assert.equal(preview.inputsOf("m")["value"], "{ zulu: u8, alpha: u64 }");
  });

  it("says when rows are secret", async () => {
    const filter = new ebpf.Program("filter", { connection, source });
    const entries = [{ key: "203.0.113.0/24", value: pulumi.secret(1) }];
    await valueOf(new ebpf.MapEntries("blocked", { map: filter.map("blocked"), entries }).urn);
    assert.equal(preview.inputsOf("blocked")["secret"], true);
  });

  it("shares a Map with a Program by its name on the host alone", async () => {
    const value = { packets: "u64", bytes: "u64" };
    const key = { saddr: "ipv4", daddr: "ipv4", sport: "be16", dport: "be16", protocol: "u8" };
    const flows = new ebpf.Map("flows", { connection, type: "lru_hash", key, value, maxEntries: 8 });
    await valueOf(new ebpf.Program("filter", { connection, source, maps: { flows } }).urn);
    assert.deepEqual(preview.failures, []);
    const { flows: lifted } = preview.inputsOf("filter")["maps"] as Record<string, Inputs>;
    assert.equal(lifted!["spec"], "shop/prod/Map/flows");
    assert.equal(lifted!["connection"], undefined);
  });

  it("takes maps and programs as values of rows", async () => {
    const filter = new ebpf.Program("filter", { connection, source, load: ["tail"] });
    const inner = new ebpf.Map("inner", {
      connection,
      type: "hash",
      key: "u32",
      value: "u64",
      maxEntries: 16,
    });
    const maps = { map: filter.map("outer"), entries: [{ key: 1, value: inner }] };
    const programs = { map: filter.map("jumps"), entries: [{ key: 1, value: filter }] };
    await valueOf(new ebpf.MapEntries("maps", maps).urn);
    await valueOf(new ebpf.MapEntries("programs", programs).urn);
    assert.deepEqual(preview.failures, []);
  });

  it("takes an Attachment as an anchor, and another stack's reference as a program", async () => {
    const ref = { connection, spec: "shop/base/Program/p", entrypoint: "count", type: "sched_cls" };
    const first = new ebpf.Attachment("first", {
      program: ref,
      tcx: { interface: "eth0", direction: "ingress" },
    });
    const order = { after: first };
    await valueOf(
      new ebpf.Attachment("second", { program: ref, tcx: { interface: "eth0", direction: "ingress", order } })
        .urn,
    );
    assert.deepEqual(preview.failures, []);
    const tcx = preview.inputsOf("second")["tcx"] as Inputs;
    assert.deepEqual(tcx["order"], { after: { spec: "shop/prod/Attachment/first" } });
  });

  it("refuses a name that the object does not have, naming those it has, without a stack trace", async () => {
    const filter = new ebpf.Program("filter", { connection, source });
    for (const [output, message] of [
      [filter.map("blokced"), /object\.o has no map "blokced"; it has maps: .*; did you mean "blocked"\?/],
      [filter.entrypoint("frist"), /loads no program "frist"; it has programs: .*; did you mean "first"\?/],
      [filter.ref, /loads 5 programs \(.*\): choose one by entrypoint\(\)/],
    ] as const) {
      const promise = (output as unknown as { promise(): Promise<unknown> }).promise();
      await assert.rejects(promise, (error: Error) => message.test(error.message) && error.stack === "");
    }
  });

  it("refuses two resources of one kind and name in a stack, and lets another run have the name", async () => {
    const run = (names: string[]) =>
      pulumi.runtime.runInPulumiStack(async () => {
        for (const name of names) new ebpf.Program(name, { connection, source });
      });
    await run(["filter"]);
    await run(["filter", "other"]);
    await assert.rejects(run(["filter", "filter"]), /two ebpf\.Program resources named "filter"/);
  });

  it("puts the configured owner in front of the name on the host, else the organization if there is one", async () => {
    const specId = async () => {
      await valueOf(new ebpf.Program("filter", { connection, source }).urn);
      return preview.inputsOf("filter")["specId"];
    };
    await pulumi.runtime.setMocks(preview, "shop", "prod", true, "acme");
    assert.equal(await specId(), "acme:shop/prod/Program/filter");
    pulumi.runtime.setAllConfig({ "ebpf:owner": "edge team" });
    preview.registered.length = 0;
    try {
      assert.equal(await specId(), "edge%20team:shop/prod/Program/filter");
    } finally {
      pulumi.runtime.setAllConfig({});
    }
  });

  it("takes ebpf:connection where a resource gives none, its credentials protected", async () => {
    pulumi.runtime.setAllConfig({ "ebpf:connection": JSON.stringify({ ...connection, password: "x" }) });
    try {
      await valueOf(new ebpf.Program("filter", { source }).urn);
      await valueOf(new ebpf.Program("other", { source, connection: { host: "edge-2" } }).urn);
    } finally {
      pulumi.runtime.setAllConfig({});
    }
    assert.deepEqual(preview.inputsOf("filter")["connection"], { ...connection, password: "x" });
    assert.ok(Object.values(preview.registered[0]!.inputs["connection"] as object).includes(SECRET));
    assert.deepEqual(preview.inputsOf("other")["connection"], { host: "edge-2" });
  });

  it("makes an AddressSet its reference, wherever a rule of a NetworkPolicy names it", async () => {
    const offices = new ebpf.AddressSet("offices", { connection, cidrs: ["198.51.100.0/24"] });
    const specId = "shop/prod/AddressSet/offices";
    assert.equal(await valueOf(offices.ref), specId);
    const rule = { name: "ssh", from: [{ addressSet: offices }, { addressSet: offices.ref }] };
    const lists = {
      ingress: [rule],
      egress: pulumi.output([{ name: "out", to: [{ addressSet: offices }] }]),
    };
    await valueOf(new ebpf.NetworkPolicy("web", { connection, interfaces: ["eth0"], ...lists }).urn);
    assert.deepEqual(preview.failures, []);
    const { ingress, egress } = preview.inputsOf("web");
    assert.deepEqual(ingress, [{ name: "ssh", from: [{ addressSet: specId }, { addressSet: specId }] }]);
    assert.deepEqual(egress, [{ name: "out", to: [{ addressSet: specId }] }]);
  });

  it("exports what the docs name, and no more", () => {
    const functionNames = Object.keys(functions).flatMap((name) => [name, `${name}Output`]);
    assert.deepEqual(Object.keys(ebpf).sort(), [
      "AddressSet",
      "Attachment",
      "Host",
      "Map",
      "MapEntries",
      "NetworkPolicy",
      "Program",
      "Provider",
      "fleet",
      ...functionNames.sort(),
    ]);
    const manifest = JSON.parse(readFileSync("package.json", "utf8")) as { exports: Record<string, unknown> };
    assert.ok("./provider/dynamic" in manifest.exports);
  });
});
