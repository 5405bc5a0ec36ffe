import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { formatAddress, masked, parseCidr } from "../../../provider/btf/addresses";
import type { TextChunk } from "../../../provider/protocol/policy";
import { digestOf } from "../../../provider/protocol/spec";
import { openSources } from "../../../provider/sources";
import { readNetworks } from "../../../provider/sources/networks";
import type { LinesRequest, LinesSource } from "../../../provider/sources/source";

const rules: Omit<LinesRequest, "lines"> = { kind: "lines", property: "ingress", what: "rules" };

async function open(lines: string[], manifest?: string): Promise<LinesSource> {
  const known = manifest === undefined ? {} : { manifest };
  const [source] = await openSources([{ ...rules, lines: () => lines, ...known }]);
  return source as LinesSource;
}

function chunksOf({ manifest, blobs }: LinesSource): (TextChunk & { text: string })[] {
  const all = blobs();
  const chunks = JSON.parse(Buffer.from(all.get(manifest)!).toString()) as TextChunk[];
  return chunks.map((chunk) => ({ ...chunk, text: Buffer.from(all.get(chunk.blob)!).toString() }));
}

const many = Array.from({ length: 10_000 }, (_, index) => `line ${index}`);

describe("lists as lines", () => {
  it("lie in chunks named by their digests, in their order", async () => {
    const source = await open(many);
    const chunks = chunksOf(source);
    assert.ok(chunks.length > 5, `${chunks.length} chunks`);
    for (const { blob, count, text } of chunks) {
      assert.equal(digestOf(text), blob);
      assert.equal(text.split("\n").length - 1, count);
    }
    assert.equal(chunks.map(({ text }) => text).join(""), many.map((line) => `${line}\n`).join(""));
    assert.equal(source.count, many.length);
  });

  it("share all chunks but two with a version in which one line is another", async () => {
    const before = new Set((await open(many)).blobs().keys());
    for (const changed of [
      many.with(5000, "another"),
      many.toSpliced(0, 0, "first"),
      many.toSpliced(7000, 1),
    ]) {
      const source = await open(changed);
      const fresh = [...source.blobs().keys()].filter((digest) => !before.has(digest));
      // and the manifest
      assert.ok(fresh.length <= 3, `${fresh.length} new blobs`);
    }
  });

  it("of no item have a manifest of no chunk", async () => {
    assert.deepEqual(chunksOf(await open([])), []);
  });

  it("that check has cut are neither asked for nor cut again", async () => {
    const { manifest, blobs } = await open(many);
    const [again] = await openSources([{ ...rules, lines: () => assert.fail("asked again"), manifest }]);
    assert.equal((again as LinesSource).blobs(), blobs());
  });

  it("are cut where another process did check", async () => {
    const unseen = digestOf("of another process");
    for (const line of ["one", "other"]) {
      assert.equal(chunksOf(await open([line], unseen))[0]!.text, `${line}\n`);
    }
  });
});

describe("a file of networks", () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "ebpf-lines-"))));
  afterEach(() => rmSync(directory, { recursive: true }));

  const read = (text: string) => {
    const problems: string[] = [];
    const clean = readNetworks(Buffer.from(text), (line, reason) => problems.push(`${line}: ${reason}`));
    return { networks: clean.toString(), problems };
  };

  it("may have comments, blank lines, blanks, any line ends, a byte order mark", () => {
    const { networks, problems } = read(
      "\uFEFF# feed\r\n10.0.0.0/8\r\n\r\n \t 2001:db8::/32  # six\n192.0.2.0/24#four\n\n::/0",
    );
    assert.deepEqual(problems, []);
    assert.equal(networks, "10.0.0.0/8\n2001:db8::/32\n192.0.2.0/24\n::/0\n");
  });

  it("is taken as it is where each line is just a network", () => {
    const text = "10.0.0.0/8\n2001:db8::/32\n::ffff:0:0/96\n0.0.0.0/0\n::1/128\n1:2:3:4:5:6:7:8/128\n";
    assert.deepEqual(read(text), { networks: text, problems: [] });
    assert.deepEqual(read(""), { networks: "", problems: [] });
  });

  it("has exactly the networks that parseCidr takes", () => {
    const ipv4 = fc.tuple(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.integer({ min: 0, max: 33 }));
    const ipv6 = fc.tuple(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.integer({ min: 0, max: 129 }));
    const network = fc.tuple(fc.oneof(ipv4, ipv6), fc.boolean()).map(([[bytes, prefix], clean]) => {
      const address = Buffer.from(bytes);
      return `${formatAddress(clean ? masked(address, prefix) : address)}/${prefix}`;
    });
    const edges = [
      "::",
      "1::",
      "::1",
      "1:2:3:4:5:6:7::",
      "1:::2",
      ":1::",
      "1:2",
      "1.2.3.4",
      "01.2.3.4",
      "1.2.3",
      "256.0.0.0",
    ];
    const edge = fc.tuple(
      fc.constantFrom(...edges),
      fc.constantFrom("", "/", "/0", "/00", "/128", "/32", "/1a", "/64:"),
    );
    const text = fc.oneof(
      network,
      edge.map(([address, rest]) => address + rest),
    );
    fc.assert(
      fc.property(text, (line) => {
        const parsed = parseCidr(line, line.includes(":") ? 16 : 4);
        const expected = typeof parsed === "string" ? ["", 1] : [`${line}\n`, 0];
        const { networks, problems } = read(`${line}\n`);
        assert.deepEqual([networks, problems.length], expected, line);
      }),
      { numRuns: 5000 },
    );
  });

  it("is read once as long as it stays the same", async () => {
    const file = join(directory, "networks");
    writeFileSync(file, "10.0.0.0/8\n");
    const request = { kind: "networks" as const, property: "file", file, most: 10 };
    const open = async () => ((await openSources([request]))[0] as LinesSource).blobs();
    const first = await open();
    assert.equal(await open(), first);
    writeFileSync(file, "11.0.0.0/8\n192.0.2.0/24\n");
    assert.notEqual(await open(), first);
  });
});
