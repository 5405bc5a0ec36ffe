import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { decode, encode, type GlobalInfo, readObject, specials } from "../../../provider/btf";
import { Workshop } from "./compile";

/** The initialisers of layouts.bpf.c as JSON. */
const samples: Record<string, unknown> = {
  padded: { a: 1, b: "0x1122334455667788", c: 3 },
  packed: { a: 1, b: "1234605616436508552", c: 3 },
  bits: { low: 5, middle: 0x1234, negative: -7, wide: "0x1fedcba9876", flag: 1, yes: true, verdict: "LOG" },
  nested: {
    kind: 9,
    port: 443,
    flags: 0x12,
    x: 0x1234,
    y: -2,
    choice: { v6: "2001:db8::1" },
    list: [
      { a: 1, b: 2, c: 3 },
      { a: 4, b: 5, c: 6 },
    ],
  },
  network: {
    v4: "203.0.113.1",
    v6: "fe80::42",
    port: 8080,
    word: "10.0.0.1",
    wide: "72623859790382856",
    mac: "02-00-00-00-00-01",
    plain4: "192.0.2.1",
  },
  scalars: {
    s8: -1,
    s16: -300,
    s32: -70000,
    s64: "-5000000000",
    u64: "18446744073709551615",
    on: true,
    text: "grüß",
    full: "full",
    action: "DROP",
    sign: "MINUS",
    tiny: "HIGH",
    f: 1.5,
    d: -0.1,
    matrix: [
      [1, 2, 3],
      [4, 5, 6],
    ],
    names: ["a", "bcde"],
    nowhere: 0,
    huge: "-3",
  },
};

describe("the layout of C types", () => {
  let workshop: Workshop;
  let globals: Record<string, GlobalInfo>;
  let rodata: Buffer;

  before(() => {
    workshop = new Workshop();
    const path = workshop.object("layouts.bpf.c");
    globals = readObject(readFileSync(path)).globals;
    rodata = workshop.section(path, ".rodata");
  });
  after(() => workshop.remove());

  const bytesOf = ({ offset, size }: GlobalInfo) => rodata.subarray(offset, offset + size);

  for (const [name, json] of Object.entries(samples)) {
    it(`encodes ${name} to the bytes that clang made of the same value`, () => {
      const global = globals[name];
      assert.ok(global);
      assert.equal(encode(global.type, json).toString("hex"), bytesOf(global).toString("hex"));
    });

    it(`decodes ${name} to what encodes to the same bytes`, () => {
      const global = globals[name];
      assert.ok(global);
      const decoded = decode(global.type, bytesOf(global));
      assert.deepEqual(JSON.parse(JSON.stringify(decoded)), decoded);
      assert.equal(encode(global.type, decoded).toString("hex"), bytesOf(global).toString("hex"));
    });
  }

  it("decodes names, signs, addresses and text", () => {
    const { scalars, network } = globals;
    assert.ok(scalars && network);
    assert.deepEqual(decode(scalars.type, bytesOf(scalars)), {
      ...(samples.scalars as object),
      nowhere: "0",
    });
    assert.deepEqual(decode(network.type, bytesOf(network)), {
      ...(samples.network as object),
      word: 0x0a000001,
      mac: [2, 0, 0, 0, 0, 1],
      plain4: [192, 0, 2, 1],
    });
  });

  it("finds timers, locks and kptrs with their places", () => {
    const object = readObject(readFileSync(workshop.object("kernel-fields.bpf.c")));
    const value = object.maps.sessions?.value;
    assert.ok(value);
    assert.deepEqual(specials(value), [
      { field: "bpf_spin_lock", path: "value.lock", offset: 8 },
      { field: "bpf_timer", path: "value.expiry.timer", offset: 16 },
      { field: "kptr", path: "value.owner", offset: 32 },
    ]);
  });

  it("leaves what the kernel owns out of values", () => {
    const object = readObject(readFileSync(workshop.object("kernel-fields.bpf.c")));
    const value = object.maps.sessions?.value;
    assert.ok(value);
    const json = { started: "5", state: 1, expiry: {}, plain: "0" };
    const bytes = encode(value, json);
    assert.equal(bytes.length, 48);
    assert.deepEqual(decode(value, bytes), json);
    assert.throws(() => encode(value, { ...json, lock: { val: 1 } }), {
      context: {
        problems: [{ property: "value.lock", reason: "the kernel owns this bpf_spin_lock; leave it out" }],
      },
    });
  });
});
