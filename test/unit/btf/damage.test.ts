import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { decode, readObject, specials } from "../../../provider/btf";
import { EbpfError } from "../../../provider/errors";
import { Workshop } from "./compile";

function reasonOf(bytes: Uint8Array): string {
  try {
    readObject(bytes);
  } catch (error) {
    assert.ok(EbpfError.is(error, "invalid"), `expected EbpfError invalid, got ${String(error)}`);
    return error.render();
  }
  return "none";
}

describe("readObject of something else", () => {
  let workshop: Workshop;
  let good: Buffer;

  before(() => {
    workshop = new Workshop();
    good = readFileSync(workshop.object("objects.bpf.c"));
  });
  after(() => workshop.remove());

  it("says what is no ELF file", () => {
    assert.match(reasonOf(Buffer.from("#include <linux/bpf.h>\n")), /not an ELF file/);
    assert.match(reasonOf(Buffer.alloc(0)), /not an ELF file/);
  });

  it("says what is ELF of another machine", () => {
    assert.match(reasonOf(readFileSync(process.execPath).subarray(0, 4096)), /compiled for ELF machine/);
  });

  it("says what is LLVM bitcode, and how to get an object", () => {
    const source = workshop.file("empty.c", "int x;");
    const bitcode = workshop.file("empty.bc", "");
    execFileSync("clang", ["-target", "bpf", "-emit-llvm", "-c", source, "-o", bitcode]);
    assert.match(reasonOf(readFileSync(bitcode)), /LLVM bitcode.*-emit-llvm/);
  });

  it("says what is big-endian", () => {
    const source = workshop.file("empty.c", "int x;");
    const object = workshop.file("big.o", "");
    execFileSync("clang", ["-target", "bpfeb", "-c", source, "-o", object]);
    assert.match(reasonOf(readFileSync(object)), /big-endian.*bpfel/);
  });

  it("says what is 32 bit", () => {
    const narrow = Buffer.from(good);
    narrow[4] = 1;
    assert.match(reasonOf(narrow), /32-bit/);
  });

  it("says where it is truncated, wherever the end is", () => {
    for (let size = 4; size < good.length; size += 97)
      assert.notEqual(reasonOf(good.subarray(0, size)), "none");
  });

  it("turns every damage into an invalid error, never a stack trace", function () {
    this.timeout(60_000);
    const damage = fc.array(
      fc.tuple(
        fc.nat(good.length - 1),
        fc.constantFrom(0, 1, 2, 8, 0x7f, 0x80, 0xff),
        fc.integer({ min: 1, max: 8 }),
      ),
      { minLength: 1, maxLength: 6 },
    );
    fc.assert(
      fc.property(damage, (changes) => {
        const bytes = Buffer.from(good);
        for (const [at, value, length] of changes) bytes.fill(value, at, Math.min(at + length, bytes.length));
        exercise(bytes);
      }),
      { numRuns: 1500 },
    );
  });

  it("survives each damaged byte of the BTF", function () {
    this.timeout(60_000);
    const start = good.indexOf(Buffer.from([0x9f, 0xeb, 1, 0]));
    assert.ok(start > 0);
    const size = 24 + good.readUInt32LE(start + 12);
    for (let at = start; at < start + size; at += 3) {
      const bytes = Buffer.from(good);
      bytes[at] = (bytes[at] as number) ^ 0x81;
      exercise(bytes);
    }
  });

  /** What is done with an object of unknown origin: read it, and use its types. */
  function exercise(bytes: Buffer): void {
    try {
      const { maps } = readObject(bytes);
      for (const { key, value } of Object.values(maps)) {
        for (const layout of [key, value]) {
          if (layout === undefined || layout.size > 4096) continue;
          specials(layout);
          decode(layout, Buffer.alloc(layout.size, 0xa5));
        }
      }
    } catch (error) {
      assert.ok(EbpfError.is(error, "invalid"), `${String(error)}\n${(error as Error).stack}`);
    }
  }
});
