import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { parseType, type TypeLayout } from "../../../provider/btf";
import { EbpfError } from "../../../provider/errors";
import { digestOf, type EntriesChunk } from "../../../provider/protocol/spec";
import { openSources } from "../../../provider/sources";
import type { EntriesFormat, EntriesRequest, EntriesSource } from "../../../provider/sources/source";

const counters = parseType({ packets: "u64", bytes: "u64" });
const cidr: TypeLayout = {
  kind: "struct",
  size: 8,
  format: "cidr4",
  members: [
    { name: "prefixlen", offsetBits: 0, type: { kind: "int", size: 4, signed: false } },
    { name: "addr", offsetBits: 32, type: { kind: "int", size: 4, signed: false, format: "ipv4" } },
  ],
};

const hash: EntriesRequest = {
  kind: "entries",
  property: "entries",
  mapType: "hash",
  keySize: 4,
  valueSize: 16,
  maxEntries: 1000,
  keyLayout: parseType("u32"),
  valueLayout: counters,
};

type Row = [key: number, packets: bigint, bytes: bigint];

describe("entries sources", () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(path.join(tmpdir(), "ebpf-entries-"))));
  afterEach(() => rmSync(directory, { recursive: true }));

  function inFile(format: EntriesFormat, content: string | Buffer, more: Partial<EntriesRequest> = {}) {
    const file = path.join(directory, `rows.${format}`);
    writeFileSync(file, content);
    return { ...hash, property: "file", file: { path: file, format }, ...more };
  }

  async function open(request: EntriesRequest): Promise<EntriesSource> {
    const [source] = await openSources([request]);
    return source as EntriesSource;
  }

  /** All records, by way of the manifest, each blob checked against its name. */
  async function records(request: EntriesRequest): Promise<Buffer> {
    const source = await open(request);
    const blobs = source.blobs();
    for (const [digest, bytes] of blobs) assert.equal(digestOf(bytes), digest);
    const chunks = JSON.parse(Buffer.from(blobs.get(source.manifest)!).toString()) as EntriesChunk[];
    assert.equal(
      chunks.reduce((sum, { count }) => sum + count, 0),
      source.count,
    );
    return Buffer.concat(chunks.map(({ blob }) => blobs.get(blob)!));
  }

  async function problems(request: EntriesRequest): Promise<string[]> {
    const error: unknown = await openSources([request]).then(
      () => assert.fail("opened"),
      (thrown: unknown) => thrown,
    );
    assert.ok(EbpfError.is(error, "invalid"), String(error));
    return (error.context.problems ?? []).map(({ property, reason }) => `${property}: ${reason}`);
  }

  function packed(...rows: Row[]): Buffer {
    return packAll(rows);
  }

  function packAll(rows: Row[]): Buffer {
    return Buffer.concat(
      rows.map(([key, packets, bytes]) => {
        const record = Buffer.alloc(20);
        record.writeUInt32LE(key);
        record.writeBigUInt64LE(packets, 4);
        record.writeBigUInt64LE(bytes, 12);
        return record;
      }),
    );
  }

  describe("in the program", () => {
    it("packs key and value as the map has them", async () => {
      const rows = [
        { key: 1, value: { packets: 2, bytes: "18446744073709551615" } },
        { key: "0xfffffffe", value: { packets: 0, bytes: 3 } },
      ];
      assert.deepEqual(
        await records({ ...hash, rows }),
        packed([1, 2n, 2n ** 64n - 1n], [0xfffffffe, 0n, 3n]),
      );
    });

    it("names row and member of what does not fit, of all rows together", async () => {
      const rows = [
        { key: 1, value: { packets: -1, bytes: 0 } },
        { key: 2 ** 32, value: { packets: 1 } },
      ];
      const found = await problems({ ...hash, rows });
      assert.match(found[0]!, /^entries\[0\]\.value\.packets: -1 does not fit/);
      assert.match(found[1]!, /^entries\[1\]\.key: 4294967296 does not fit/);
      assert.match(found[2]!, /^entries\[1\]\.value\.bytes: missing/);
    });

    it("finds a key that is given twice", async () => {
      const value = { packets: 0, bytes: 0 };
      const rows = [7, 8, 7].map((key) => ({ key, value }));
      assert.deepEqual(await problems({ ...hash, rows }), ["entries[2].key: has the same key as entries[0]"]);
    });

    it("refuses more rows than the map holds", async () => {
      const rows = [1, 2, 3].map((key) => ({ key, value: { packets: 0, bytes: 0 } }));
      assert.deepEqual(await problems({ ...hash, maxEntries: 2, rows }), [
        "entries: 3 rows are more than the map's 2 entries",
      ]);
    });

    it("takes raw bytes where the map has no types", async () => {
      const { keyLayout: _key, valueLayout: _value, ...untyped } = hash;
      const rows = [{ key: "0x0a000001", value: `0x${"ff".repeat(16)}` }];
      const expected = Buffer.from(`0a000001${"ff".repeat(16)}`, "hex");
      assert.deepEqual(await records({ ...untyped, rows }), expected);
    });

    it("gives each CPU its value, padded to 8 bytes, and repeats a plain one", async () => {
      const request = {
        ...hash,
        mapType: "percpu_hash",
        perCpu: "each" as const,
        valueSize: 4,
        valueLayout: parseType("u32"),
      };
      const rows = [
        { key: 1, value: { perCpu: [5, 6] } },
        { key: 2, value: 9 },
      ];
      const bytes = await records({ ...request, rows });
      assert.equal(
        bytes.toString("hex"),
        "010000000500000000000000060000000000000002000000" + "09000000000000000900000000000000",
      );
      const uneven = [...rows, { key: 3, value: { perCpu: [1] } }];
      assert.deepEqual(await problems({ ...request, rows: uneven }), [
        "entries[2].value.perCpu: has 1 values, another row has 2",
      ]);
    });

    it("refuses an index beyond an array", async () => {
      const rows = [{ key: 4, value: { packets: 0, bytes: 0 } }];
      assert.deepEqual(await problems({ ...hash, mapType: "array", maxEntries: 4, rows }), [
        "entries[0].key: 4 is beyond the last index, 3",
      ]);
    });

    it("refuses a prefix with host bits or of too many bits, however it is written", async () => {
      const request = {
        ...hash,
        mapType: "lpm_trie",
        keySize: 8,
        valueSize: 4,
        keyLayout: cidr,
        valueLayout: parseType("u32"),
      };
      const keys = ["10.0.0.0/8", { prefixlen: 24, addr: "10.0.0.1" }, { prefixlen: 33, addr: "10.0.0.0" }];
      const found = await problems({ ...request, rows: keys.slice(0, 2).map((key) => ({ key, value: 1 })) });
      assert.deepEqual(found, [
        "entries[1].key: 10.0.0.1/24 has bits set beyond its prefix; write 10.0.0.0/24",
      ]);
      assert.match(
        (await problems({ ...request, rows: [{ key: keys[2], value: 1 }] }))[0]!,
        /^entries\[0\]\.key/,
      );
      const raw = Buffer.from(
        "200000000a0000ff" + "01000000" + "080000000a000000" + "01000000" + "210000000a000000" + "01000000",
        "hex",
      );
      const binary = inFile("binary", raw, { ...request, property: "file" });
      assert.deepEqual(await problems(binary), [
        "file: rows.binary: record 2: key has a prefix length of 33, its 4 bytes have 32 bits",
      ]);
    });

    it("answers the keys alone where values are kernel objects", async () => {
      const source = await open({
        ...hash,
        keysOnly: true,
        rows: [{ key: 1, value: { spec: "p/s/Map/m", map: "m" } }],
      });
      assert.deepEqual(source.keys, [Buffer.from("01000000", "hex").toString("base64")]);
      assert.equal(source.count, 0);
      assert.equal(Buffer.from(source.blobs().get(source.manifest)!).toString(), "[]");
    });
  });

  describe("in CSV", () => {
    it("reads columns by their paths, quotes, empty lines and line ends of Windows", async () => {
      const text = '\uFEFFvalue.bytes,key,value.packets\r\n3,1,2\r\n\r\n"5",0x10,"4"\r\n';
      assert.deepEqual(await records(inFile("csv", text)), packed([1, 2n, 3n], [16, 4n, 5n]));
    });

    it("reads networks and enums as text", async () => {
      const action: TypeLayout = { kind: "enum", size: 4, signed: false, values: { PASS: 0, DROP: 1 } };
      const request = inFile("csv", "key,value\n203.0.113.0/24,DROP\n198.51.100.7/32,PASS\n", {
        mapType: "lpm_trie",
        keySize: 8,
        valueSize: 4,
        keyLayout: cidr,
        valueLayout: action,
      });
      assert.equal(
        (await records(request)).toString("hex"),
        "18000000cb007100" + "01000000" + "20000000c6336407" + "00000000",
      );
    });

    it("names the line of what does not fit, after quoted line ends too", async () => {
      const request = inFile("csv", 'key,value\n1,"a\nb"\n2,abcdefghi\n3\n', {
        valueSize: 8,
        valueLayout: {
          kind: "array",
          size: 8,
          count: 8,
          element: { kind: "int", size: 1, signed: true, char: true },
        },
      });
      const found = await problems(request);
      assert.match(found[0]!, /^file: rows\.csv: line 4: value: "abcdefghi" has 9 bytes/);
      assert.equal(found[1], "file: rows.csv: line 5: has 1 cells, the header has 2");
    });

    it("refuses a header that does not name key and value, once", async () => {
      const found = await problems(inFile("csv", "addr,value.packets,value.octets\n1,2,3\n4,5,6\n"));
      assert.ok(
        found.every((problem) => problem.startsWith("file: rows.csv: line 1: ")),
        found.join("\n"),
      );
      assert.ok(found.some((problem) => problem.includes('column "addr"')));
      assert.ok(found.some((problem) => problem.includes("value.octets")));
      assert.deepEqual(await problems(inFile("csv", "")), [
        "file: rows.csv: line 1: expected a header such as key,value",
      ]);
    });

    it("shows twenty problems and counts the others, and says first that there are too many rows", async () => {
      const lines = Array.from({ length: 50 }, (_, index) => `x${index},0,0`);
      const found = await problems(
        inFile("csv", ["key,value.packets,value.bytes", ...lines].join("\n"), { maxEntries: 49 }),
      );
      assert.equal(found.length, 22);
      assert.equal(found[0], "file: rows.csv: 50 rows are more than the map's 49 entries");
      assert.equal(found.at(-1), "file: and 30 more problems");
    });

    it("finds keys given twice by their lines", async () => {
      assert.deepEqual(
        await problems(inFile("csv", "key,value.packets,value.bytes\n1,0,0\n2,0,0\n0x1,0,0\n")),
        ["file: rows.csv: line 4: key has the same key as line 2"],
      );
    });

    it("reads over the seams of its slices", async () => {
      const rows = Array.from({ length: 90_000 }, (_, key): Row => [key, BigInt(key) * 7n, 1n]);
      const text = ["key,value.packets,value.bytes", ...rows.map((row) => row.join(","))].join("\n");
      assert.ok(text.length > 1 << 20);
      assert.ok((await records(inFile("csv", text, { maxEntries: 90_000 }))).equals(packAll(rows)));
    });
  });

  describe("in NDJSON", () => {
    it("reads an object per line", async () => {
      const text =
        '{"key":1,"value":{"packets":"18446744073709551615","bytes":0}}\n\n{"value":{"packets":1,"bytes":2},"key":3}';
      assert.deepEqual(await records(inFile("ndjson", text)), packed([1, 2n ** 64n - 1n, 0n], [3, 1n, 2n]));
    });

    it("names the lines that are none", async () => {
      const found = await problems(
        inFile("ndjson", '{"key":1\n[1,2]\n{"key":1,"value":{"packets":1,"bytes":2},"ttl":3}\n'),
      );
      assert.match(found[0]!, /line 1: is no JSON/);
      assert.match(found[1]!, /line 2: expected an object with key and value/);
      assert.match(found[2]!, /line 3: ttl: unknown/);
    });
  });

  describe("in binary", () => {
    it("takes the records as they are", async () => {
      const bytes = packed([1, 2n, 3n], [4, 5n, 6n]);
      assert.deepEqual(await records(inFile("binary", bytes)), bytes);
    });

    it("refuses a length that is no multiple of a record's", async () => {
      assert.deepEqual(await problems(inFile("binary", packed([1, 0n, 0n], [2, 0n, 0n]).subarray(0, 37))), [
        "file: rows.binary: has 37 bytes, no multiple of 20 (key of 4, value of 16)",
      ]);
    });

    it("keeps all chunks but those of the records that changed", async () => {
      const rows = Array.from({ length: 200_000 }, (_, key): Row => [key, 1n, 1n]);
      const request = (bytes: Buffer) => inFile("binary", bytes, { maxEntries: 300_000 });
      const before = (await open(request(packAll(rows)))).blobs();
      assert.ok(before.size > 30 && before.size < 80, `${before.size} blobs`);
      const changed = [...rows.slice(0, 100_000), [999_999, 1n, 1n] as Row, ...rows.slice(100_000)];
      changed[5] = [5, 2n, 1n];
      const after = (await open(request(packAll(changed)))).blobs();
      const fresh = [...after.keys()].filter((digest) => !before.has(digest));
      // the manifest, the chunk of the change, and the chunk of the insertion
      assert.equal(fresh.length, 3);
    });

    it("sees that a file changed between two openings", async () => {
      const first = await open(inFile("binary", packed([1, 1n, 1n])));
      const second = await open(inFile("binary", packed([1, 1n, 2n])));
      assert.notEqual(second.manifest, first.manifest);
    });
  });
});
