import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import { packageVersion } from "../../../provider/version";
import * as ebpf from "../../../sdk/nodejs";
import { type Mode, registrationOf } from "../../../sdk/nodejs/mode";

/** Records what is registered; a provider that echoes. */
class Echo implements pulumi.runtime.Mocks {
  readonly registered: pulumi.runtime.MockResourceArgs[] = [];
  /** Over what came. */
  answer: Record<string, unknown> = {};

  async newResource(args: pulumi.runtime.MockResourceArgs) {
    this.registered.push(args);
    return { id: args.id ?? args.name, state: { ...args.inputs, ...this.answer } };
  }

  call(): never {
    throw new Error("no function is called");
  }
}

function urnOf(resource: pulumi.Resource): Promise<string> {
  return new Promise((resolve) => resource.urn.apply(resolve));
}

describe("ebpf:mode", () => {
  const connection = { host: "edge-1" };
  const source = "./filter.bpf.o";
  let engine: Echo;

  const inMode = (mode: string) => pulumi.runtime.setAllConfig({ "ebpf:mode": mode });

  beforeEach(async () => {
    engine = new Echo();
    await pulumi.runtime.setMocks(engine, "shop", "prod", true);
  });
  afterEach(() => pulumi.runtime.setAllConfig({}));

  it("plugin: registers the plugin's type, the same name on the host, and no provider text", async () => {
    inMode("plugin");
    await urnOf(new ebpf.Program("filter", { connection, source }));
    const [{ type, inputs }] = engine.registered as [pulumi.runtime.MockResourceArgs];
    assert.equal(type, "ebpf:index:Program");
    assert.equal(inputs["specId"], "shop/prod/Program/filter");
    assert.ok(!("__provider" in inputs));
  });

  it("dynamic: tells the provider when the program runs for an update; the plugin is told by the engine", async () => {
    const added = (mode: Mode) => Object.keys(registrationOf(mode, "Map", {}).properties);
    assert.deepEqual(added("dynamic"), ["__provider"], "of a preview");
    await pulumi.runtime.setMocks(engine, "shop", "prod", false);
    assert.deepEqual(added("dynamic"), ["__provider", "__applying"]);
    assert.deepEqual(added("plugin"), []);
  });

  it("each mode's type is an alias in the other; the plugin is asked for in this package's version", () => {
    const own = { aliases: [{ name: "old" }] };
    assert.deepEqual(registrationOf("plugin", "Map", own).options, {
      version: packageVersion(),
      aliases: [{ name: "old" }, { type: "pulumi-nodejs:dynamic/ebpf:Map" }],
    });
    assert.deepEqual(registrationOf("dynamic", "Map", own).options, {
      aliases: [{ name: "old" }, { type: "ebpf:index:Map" }],
    });
  });

  it("anything else: an error that names both modes", () => {
    inMode("native");
    assert.throws(
      () => new ebpf.Program("filter", { connection, source }),
      /ebpf:mode is "native": it is "dynamic" or "plugin"/,
    );
  });

  it("dynamic: a Provider and a lookup are errors that name plugin mode", () => {
    assert.throws(() => new ebpf.Provider("edge", { connection }), /"edge" needs plugin mode/);
    assert.throws(() => ebpf.Map.get("m", "edge-1/shop/prod/Map/m"), /get\("m"\) needs plugin mode/);
    inMode("plugin");
    const provider = new ebpf.Provider("edge", { connection });
    inMode("dynamic");
    assert.throws(
      () => new ebpf.Program("filter", { source }, { provider }),
      /provider of ebpf\.Program "filter" needs plugin mode/,
    );
  });

  it("plugin: a Provider's settings travel as text, its credentials as secrets", async () => {
    inMode("plugin");
    const provider = new ebpf.Provider("edge", {
      connection: { ...connection, password: "x" },
      autoRefresh: true,
      privateKey: "KEY",
    });
    await urnOf(provider);
    const [{ type, inputs }] = engine.registered as [pulumi.runtime.MockResourceArgs];
    assert.equal(type, "pulumi:providers:ebpf");
    assert.equal(inputs["autoRefresh"], "true");
    const secret = "1b47061264138c4ac30d75fd1eb44270";
    for (const name of ["privateKey", "connection"]) {
      assert.ok(Object.values(inputs[name] as object).includes(secret), `${name} is a secret`);
    }
  });

  it("plugin: a resource of a Provider needs no connection; a lookup sends its id alone", async () => {
    inMode("plugin");
    const provider = new ebpf.Provider("edge", { connection });
    await urnOf(new ebpf.Program("filter", { source }, { provider }));
    await urnOf(ebpf.Attachment.get("seen", "edge-1/shop/prod/Attachment/seen"));
    const byName = (name: string) => engine.registered.find((resource) => resource.name === name)!;
    assert.ok(!("connection" in byName("filter").inputs));
    assert.equal(byName("seen").id, "edge-1/shop/prod/Attachment/seen");
    assert.deepEqual(byName("seen").inputs, {});
  });

  it("plugin: a reference has its way to the host also where a secret lies within a secret", async () => {
    inMode("plugin");
    const wrapped = (value: unknown) => ({
      "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270",
      value,
    });
    const shape = { name: "m", type: "hash", keySize: 4, valueSize: 4, maxEntries: 1 };
    engine.answer = {
      connection: wrapped({ host: "edge-1", password: wrapped("hunter2") }),
      shape,
    };
    const { ref } = new ebpf.Map("m", { connection: { host: "edge-1" } });
    const known = await (ref as unknown as { promise(): Promise<ebpf.MapRef> }).promise();
    assert.deepEqual(known.connection, { host: "edge-1", password: "hunter2" });
    assert.equal(await pulumi.isSecret(ref), true);
  });

  it("either: what lies in the state as one text is the object that it was", async () => {
    const shape = { name: "m", type: "hash", keySize: 4, valueSize: 4, maxEntries: 1 };
    for (const mode of ["dynamic", "plugin"]) {
      inMode(mode);
      engine.answer = { shape: JSON.stringify(shape) };
      const map = new ebpf.Map(`of-${mode}`, { connection });
      const known = <T>(output: pulumi.Output<T>) => new Promise<T>((resolve) => output.apply(resolve));
      assert.deepEqual(await known(map.shape), shape);
      assert.equal((await known(map.ref)).type, "hash");
    }
  });
});
