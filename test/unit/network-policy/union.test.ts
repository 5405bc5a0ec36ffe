import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  compileUnion,
  deserializeUnion,
  serializeUnion,
  type UnionInput,
} from "../../../provider/network-policy";
import { lookup } from "../../../provider/network-policy/lookup";

const POLICY = {
  stack: "acme/prod",
  name: "web",
  mode: "enforce",
  infrastructure: true,
  established: "recheck",
} as const;

describe("a union of chunks", () => {
  const texts = new Map<string, string>([
    ["rules", '{"action":"allow","from":[{"addressSet":"office"},{"self":true}],"name":"ssh"}\n'],
    ["offices", "198.51.100.0/24\n2001:db8::/32\n"],
  ]);
  const read = (blob: string) => Buffer.from(texts.get(blob)!);
  const input: UnionInput = {
    policies: [
      { ...POLICY, ingress: [{ blob: "rules", count: 1 }], sets: { office: "acme/prod/AddressSet/office" } },
    ],
    sets: { "acme/prod/AddressSet/office": [{ blob: "offices", count: 2 }] },
    self: ["192.0.2.1"],
  };

  it("decides by sets and own addresses, also when it was stored in between", () => {
    const union = compileUnion(input, { number: 1n, read });
    assert.deepEqual(union.fresh, [0]);
    const bytes = Buffer.concat(serializeUnion(union));
    const stored = deserializeUnion({ size: bytes.length, read: (at, n) => bytes.subarray(at, at + n) })!;
    for (const { cells, number, rule } of [union, stored].map((one) => ({
      number: one.number,
      cells: one.cells,
      rule: one.rule(0),
    }))) {
      assert.equal(number, 1n);
      assert.deepEqual(rule, {
        id: { stack: "acme/prod", policy: "web", direction: "ingress", name: "ssh" },
        action: "allow",
        mode: "enforce",
      });
      for (const [address, verdict] of [
        ["198.51.100.7", "allow"],
        ["2001:db8::1", "allow"],
        ["192.0.2.1", "allow"],
        ["192.0.2.2", "deny"],
      ] as const) {
        assert.equal(lookup(cells.flat(), "ingress", { address, protocol: 6, service: 22 }).verdict, verdict);
      }
    }
    const next = compileUnion({ ...input, self: ["192.0.2.2"] }, { number: 2n, before: stored, read });
    assert.deepEqual(next.fresh, []);
    assert.ok(next.changed!.length > 0 && next.changed!.every((cell) => cell < next.cells.count));
    assert.deepEqual(next.changed, next.cells.changedSince(union.cells));
    assert.equal(
      lookup(next.cells.flat(), "ingress", { address: "192.0.2.2", protocol: 6, service: 22 }).verdict,
      "allow",
    );
  });

  it("is not read where another version stored it", () => {
    const bytes = Buffer.concat(serializeUnion(compileUnion(input, { number: 1n, read })));
    const open = () => deserializeUnion({ size: bytes.length, read: (at, n) => bytes.subarray(at, at + n) });
    assert.equal(open()!.number, 1n);
    const text = bytes.lastIndexOf('{"format":');
    const digits = text + '{"format":'.length;
    bytes.writeUInt8(bytes.readUInt8(digits) - 1, digits);
    const footer = bytes.length - 44;
    createHash("sha256")
      .update(bytes.subarray(text, footer))
      .digest()
      .copy(bytes, footer + 12);
    assert.equal(open(), undefined);
  });
});
