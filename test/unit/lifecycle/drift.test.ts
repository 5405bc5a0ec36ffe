import assert from "node:assert/strict";
import { encode, parseType } from "../../../provider/btf";
import { driftTexts } from "../../../provider/lifecycle/drift";
import type { EntriesPart, Spec } from "../../../provider/protocol/spec";
import type { DriftItem, Status } from "../../../provider/protocol/status";

describe("drift in words", () => {
  const key = parseType("cidr4");
  const value = parseType({ enum: { PASS: 0, DROP: 1 } });
  const bytes = (layout: typeof key, json: unknown) => encode(layout, json).toString("base64");

  function texts(drift: DriftItem[], part: Partial<EntriesPart> = {}): string[] {
    const entries = [{ name: "entries", keyLayout: key, valueLayout: value, ...part }];
    return driftTexts({ drift } as Status, () => ({ entries }) as Spec);
  }
  const changed: DriftItem = {
    code: "entry-changed",
    part: "entries",
    message: "entry changed",
    key: bytes(key, "203.0.113.0/24"),
    expected: bytes(value, "DROP"),
    found: bytes(value, "PASS"),
  };

  it("reads keys and values by their types", () => {
    assert.deepEqual(texts([changed]), [
      'entry changed: key "203.0.113.0/24": declared "DROP", found "PASS"',
    ]);
    const { found: _found, ...missing } = { ...changed, message: "entry missing" };
    assert.deepEqual(texts([missing]), [
      'entry missing: key "203.0.113.0/24": declared "DROP", found nothing',
    ]);
  });

  it("shows raw bytes where there are no types", () => {
    const plain = { keyLayout: undefined, valueLayout: undefined };
    assert.deepEqual(texts([changed], plain), [
      "entry changed: key 0x18000000cb007100: declared 0x01000000, found 0x00000000",
    ]);
  });

  it("never shows a value that is secret, nor one of a global, which may be", () => {
    assert.deepEqual(texts([changed], { secret: true }), ['entry changed: key "203.0.113.0/24"']);
    const global = { ...changed, part: "object", message: "global token changed", key: undefined };
    delete global.key;
    assert.deepEqual(texts([global as DriftItem]), ["global token changed"]);
  });

  it("names the first fifty and counts the rest", () => {
    const all = texts(Array.from({ length: 1000 }, () => changed));
    assert.equal(all.length, 51);
    assert.equal(all.at(-1), "and 950 more");
  });
});
