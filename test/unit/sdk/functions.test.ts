import assert from "node:assert/strict";
import * as pulumi from "@pulumi/pulumi";
import * as ebpf from "../../../sdk/nodejs";
import { Workshop } from "../btf/compile";

class Engine implements pulumi.runtime.Mocks {
  readonly calls: pulumi.runtime.MockCallArgs[] = [];
  answer: Record<string, unknown> = {};

  async newResource({ id, name, inputs }: pulumi.runtime.MockResourceArgs) {
    return { id: id ?? name, state: inputs };
  }

  call(args: pulumi.runtime.MockCallArgs) {
    this.calls.push(args);
    return this.answer;
  }
}

/** How an Output came out, without a look at what only the SDK may see. */
async function outcome<T>(output: pulumi.Output<T>): Promise<{ value?: T; known: boolean; secret: boolean }> {
  const inner = output as unknown as { promise(): Promise<T>; isKnown: Promise<boolean> };
  const known = await inner.isKnown;
  const secret = await pulumi.isSecret(output);
  return known ? { value: await inner.promise(), known, secret } : { known, secret };
}

describe("functions of the SDK", () => {
  let engine: Engine;
  let workshop: Workshop;
  let source: string;

  before(() => {
    workshop = new Workshop();
    source = workshop.object("objects.bpf.c");
  });
  after(() => workshop.remove());
  beforeEach(async () => {
    engine = new Engine();
    await pulumi.runtime.setMocks(engine, "shop", "prod", true);
  });
  afterEach(() => pulumi.runtime.setAllConfig({}));

  describe("in dynamic mode", () => {
    it("answer in this process, without the engine", async () => {
      const { entrypoints } = await ebpf.inspectObject({ source });
      assert.equal(entrypoints["first"]?.type, "xdp");
      const { value, secret } = await outcome(ebpf.inspectObjectOutput({ source: pulumi.output(source) }));
      assert.deepEqual([value?.entrypoints, secret], [entrypoints, false]);
      assert.deepEqual(engine.calls, []);
    });

    it("give an unknown result for unknown arguments, and a secret one for secret ones", async () => {
      const unknown = pulumi.output(
        new ebpf.Map("m", { connection: { host: "edge-1" }, type: "hash" }).status.apply((s) => s.pin),
      );
      assert.equal((await outcome(ebpf.getMapOutput({ pin: unknown }))).known, false);
      const { known, secret } = await outcome(ebpf.inspectObjectOutput({ source: pulumi.secret(source) }));
      assert.deepEqual([known, secret], [true, true]);
    });

    it("wait for what they depend on: for all that is in a component, and for where an argument comes from", async () => {
      // in this preview no resource has an id yet
      const map = (name: string, parent?: pulumi.Resource) => {
        const options = parent === undefined ? {} : { parent };
        return new ebpf.Map(name, { connection: { host: "edge-1" }, type: "hash" }, options);
      };
      const known = async (dependsOn: pulumi.Resource) =>
        (await outcome(ebpf.inspectObjectOutput({ source }, { dependsOn: [dependsOn] }))).known;
      const site = new pulumi.ComponentResource("shop:index:Site", "site");
      assert.equal(await known(site), true);
      const inside = map("inside", site);
      assert.equal(await known(site), false);
      assert.equal(await known(inside), false);
      const behind = map("behind").specId.apply(() => source);
      assert.equal((await outcome(ebpf.inspectObjectOutput({ source: behind }))).known, false);
    });

    it("name what is wrong, without a stack", async () => {
      const expected = (pattern: RegExp) => (error: Error) => {
        assert.match(error.message, pattern);
        assert.equal(error.stack, "");
        return true;
      };
      await assert.rejects(
        ebpf.getProgram({ programId: 7 }),
        expected(/connection: call getProgram: it has no connection.*ebpf:connection/),
      );
      await assert.rejects(ebpf.inspectObject({ source: "./none.o" }), expected(/none\.o/));
    });

    it("refuse a Provider", () => {
      pulumi.runtime.setAllConfig({ "ebpf:mode": "plugin" });
      const provider = new ebpf.Provider("edge", { connection: { host: "edge-1" } });
      pulumi.runtime.setAllConfig({});
      assert.throws(() => ebpf.getHostFeaturesOutput({}, { provider }), /getHostFeatures needs plugin mode/);
    });
  });

  describe("in plugin mode", () => {
    beforeEach(() => pulumi.runtime.setAllConfig({ "ebpf:mode": "plugin" }));

    it("ask the engine, with the way to the host out of a reference", async () => {
      engine.answer = { programId: 7 };
      const program = { connection: { host: "edge-1" }, spec: "a/b/Program/c", entrypoint: "f", type: "xdp" };
      assert.deepEqual(await ebpf.getProgram({ program }), { programId: 7 });
      const { value } = await outcome(ebpf.getProgramOutput({ program, connection: { host: "edge-2" } }));
      assert.deepEqual(value, { programId: 7 });
      assert.deepEqual(
        engine.calls.map(({ token, inputs }) => [token, inputs]),
        [
          [
            "ebpf:index:getProgram",
            {
              connection: { host: "edge-1" },
              program: { spec: "a/b/Program/c", entrypoint: "f", type: "xdp" },
            },
          ],
          [
            "ebpf:index:getProgram",
            {
              connection: { host: "edge-2" },
              program: { spec: "a/b/Program/c", entrypoint: "f", type: "xdp" },
            },
          ],
        ],
      );
    });

    it("take no secret from the credentials of the way, but from all else", async () => {
      const connection = { host: "edge-1", privateKey: pulumi.secret("KEY") };
      assert.equal((await outcome(ebpf.getHostFeaturesOutput({ connection }))).secret, false);
      const pin = pulumi.secret("/sys/fs/bpf/x");
      assert.equal((await outcome(ebpf.getMapOutput({ connection, pin }))).secret, true);
    });

    it("keep entries secret that a resource declares so, and give none of them as a promise", async () => {
      engine.answer = { entries: [{ key: 1, value: "token" }], more: false, mapId: 7, secret: true };
      const { value, secret } = await outcome(ebpf.getMapEntriesOutput({ mapId: 7 }));
      assert.deepEqual([value?.entries, secret], [[{ key: 1, value: "token" }], true]);
      await assert.rejects(ebpf.getMapEntries({ mapId: 7 }), /declared secret: call getMapEntriesOutput/);
    });
  });
});
