import assert from "node:assert/strict";
import { providerText } from "../../../provider/adapters/provider-text";
import { UNKNOWN } from "../../../provider/lifecycle";
import { fromEngine, toEngine } from "../../../provider/adapters/wire";

const SIGNATURE = "4dabf18193072939515e22adb298388d";

describe("the wire of the dynamic adapter", () => {
  it("keeps the text that every older state holds", () => {
    assert.equal(
      providerText("Program"),
      'exports.handler = () => require("pulumi-ebpf/provider/dynamic").provider("Program");',
    );
  });

  it("unwraps secrets at any depth", () => {
    const secret = (value: unknown) => ({ [SIGNATURE]: "1b47061264138c4ac30d75fd1eb44270", value });
    assert.deepEqual(fromEngine({ a: secret({ b: [secret("c")] }), d: 1 }), { a: { b: ["c"] }, d: 1 });
  });

  it("takes a file asset for its path, and leaves other assets to be refused", () => {
    const asset = { [SIGNATURE]: "c44067f5952c0a294b673a41bacd8c17", hash: "h", path: "./filter.o" };
    assert.deepEqual(fromEngine({ source: asset }), { source: "./filter.o" });
    const text = { [SIGNATURE]: "c44067f5952c0a294b673a41bacd8c17", hash: "h", text: "x" };
    assert.equal(typeof fromEngine({ source: text })["source"], "object");
  });

  it("leaves out what belongs to the engine", () => {
    assert.deepEqual(fromEngine({ __provider: "text", __defaults: [], a: 1 }), { a: 1 });
  });

  it("sends no undefined", () => {
    assert.deepEqual(Object.keys(toEngine({ a: undefined, b: { c: undefined, d: null } })), ["b"]);
    assert.deepEqual(toEngine({ b: { c: undefined, d: null } }), { b: { d: null } });
    assert.deepEqual(toEngine({ b: [undefined, { c: undefined }] }), { b: [null, {}] });
  });

  it("packs what check adds into one text, the same for the same value, and reads it packed and not", () => {
    const shape = { type: "hash", keyLayout: { kind: "bytes", size: 6 }, numaNode: undefined };
    const text = '{"keyLayout":{"kind":"bytes","size":6},"type":"hash"}';
    assert.deepEqual(toEngine({ shape, status: { mapId: 1 } }), { shape: text, status: { mapId: 1 } });
    const read = { type: "hash", keyLayout: { kind: "bytes", size: 6 } };
    assert.deepEqual(fromEngine({ shape: text }), { shape: read });
    assert.deepEqual(fromEngine({ shape: read }), { shape: read });
    const secret = { [SIGNATURE]: "1b47061264138c4ac30d75fd1eb44270", value: text };
    assert.deepEqual(fromEngine({ shape: secret }), { shape: read });
  });

  it("leaves what is unknown to the engine, and a text that is none of its own to the schema", () => {
    const map = { spec: UNKNOWN, map: "flows" };
    assert.deepEqual(toEngine({ map, shape: UNKNOWN }), { map, shape: UNKNOWN });
    assert.deepEqual(fromEngine({ map: "{flows", shape: UNKNOWN }), { map: "{flows", shape: UNKNOWN });
  });
});
