import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { btfOfObject, decode, encode, type ObjectInfo, readBtf, readObject } from "../../../provider/btf";
import { bpftool, multiarch, Workshop } from "./compile";

describe("readObject", () => {
  let workshop: Workshop;
  let path: string;
  let object: ObjectInfo;

  before(() => {
    workshop = new Workshop();
    path = workshop.object("objects.bpf.c");
    object = readObject(readFileSync(path));
  });
  after(() => workshop.remove());

  it("is plain JSON", () => {
    assert.deepEqual(JSON.parse(JSON.stringify(object)), object);
    assert.equal(object.license, "Dual BSD/GPL");
    assert.equal(object.hasBtf, true);
    assert.equal(object.legacyMaps, false);
  });

  it("takes every function outside .text as an entrypoint, several in one section too", () => {
    const { entrypoints } = object;
    assert.deepEqual(Object.keys(entrypoints).sort(), [
      "connecting",
      "first",
      "opening",
      "second",
      "switched",
      "tail",
    ]);
    assert.deepEqual(entrypoints.second, {
      name: "second",
      section: "xdp",
      programType: "xdp",
      attachType: "xdp",
      sleepable: false,
      autoload: true,
    });
    assert.deepEqual(entrypoints.opening, {
      name: "opening",
      section: "lsm.s/file_open",
      programType: "lsm",
      attachType: "lsm_mac",
      autoAttachTarget: "file_open",
      sleepable: true,
      autoload: true,
    });
    assert.equal(entrypoints.switched?.autoload, false);
  });

  it("reads sizes, limits, flags, pinning, NUMA node and map_extra of maps", () => {
    const { flows, sized, events, samples, seen } = object.maps;
    assert.deepEqual(
      { ...flows, key: undefined, value: undefined },
      {
        name: "flows",
        type: "lru_hash",
        keySize: 16,
        valueSize: 16,
        maxEntries: 4096,
        flags: 2,
        pinning: "by_name",
        key: undefined,
        value: undefined,
      },
    );
    assert.deepEqual(sized, {
      name: "sized",
      type: "percpu_array",
      keySize: 4,
      valueSize: 16,
      maxEntries: 5,
      flags: 0,
      pinning: "none",
      numaNode: 0,
    });
    assert.deepEqual([events?.type, events?.keySize, events?.maxEntries], ["ringbuf", 0, 65536]);
    assert.equal(samples?.maxEntries, 0);
    assert.equal(seen?.mapExtra, "3");
  });

  it("reads inner maps and the slots that C fills", () => {
    const { outer, jumps } = object.maps;
    assert.equal(outer?.valueSize, 4);
    assert.deepEqual(
      [outer?.inner?.type, outer?.inner?.maxEntries, outer?.inner?.valueSize],
      ["hash", 16, 8],
    );
    assert.deepEqual(outer?.values, { "2": "inner_a" });
    assert.deepEqual(jumps?.values, { "1": "tail" });
    assert.equal(jumps?.inner, undefined);
  });

  it("marks the key of an LPM trie so that a network in text is a key", () => {
    const key = object.maps.blocked?.key;
    assert.ok(key);
    const bytes = encode(key, "203.0.113.0/24");
    assert.deepEqual([...bytes], [24, 0, 0, 0, 203, 0, 113, 0]);
    assert.deepEqual(encode(key, { prefixlen: 24, addr: "203.0.113.0" }), bytes);
    assert.equal(decode(key, bytes), "203.0.113.0/24");
  });

  it("places globals where the symbol table has them", () => {
    const symbols = new Map(
      execFileSync("readelf", ["-sW", path], { encoding: "utf8" })
        .split("\n")
        .map((line) => line.trim().split(/\s+/))
        .filter((columns) => columns[3] === "OBJECT")
        .map((columns) => [
          columns[7] as string,
          [Number.parseInt(columns[1] as string, 16), Number(columns[2])],
        ]),
    );
    assert.deepEqual(Object.keys(object.globals).sort(), [
      "custom",
      "hidden_one",
      "hits",
      "label",
      "limit",
      "local",
      "sample_rate",
      "second.calls",
      "total",
    ]);
    for (const { name, offset, size } of Object.values(object.globals)) {
      assert.deepEqual([offset, size], symbols.get(name), name);
    }
    assert.equal(object.globals.custom?.section, ".data.limits");
  });

  it("makes an internal map of each section of globals, as libbpf does", () => {
    const internal = Object.values(object.maps).filter((map) => map.internal);
    const skeleton = execFileSync("bpftool", ["gen", "skeleton", path, "name", "sample"], {
      encoding: "utf8",
    });
    const mapped = [...skeleton.matchAll(/s->maps\[\d+\]\.name = "(?:sample)?([^"]+)"/g)].map(
      ([, name]) => name,
    );
    assert.deepEqual(
      internal.map(({ name }) => name).sort(),
      mapped.filter((name) => name?.startsWith(".")).sort(),
    );
    assert.deepEqual(internal.map(({ name, flags }) => [name, flags]).sort(), [
      [".bss", 0x400],
      [".data", 0x400],
      [".data.limits", 0x400],
      [".data.private", 0],
      [".rodata", 0x480],
    ]);
  });

  it("reads legacy map definitions and globals of an object without BTF", () => {
    const legacy = readObject(readFileSync(workshop.object("legacy-maps.bpf.c", [])));
    assert.equal(legacy.hasBtf, false);
    assert.equal(legacy.legacyMaps, true);
    assert.deepEqual(legacy.maps.ports, {
      name: "ports",
      type: "hash",
      keySize: 2,
      valueSize: 8,
      maxEntries: 64,
      flags: 1,
      pinning: "none",
    });
    assert.deepEqual(legacy.globals.threshold?.type, { kind: "bytes", size: 4 });
  });

  it("reads __ulong() attributes and .bss sections of any name", () => {
    const { maps, globals } = readObject(readFileSync(workshop.object("newer-libbpf.bpf.c")));
    assert.equal(maps.seen?.mapExtra, "5");
    assert.equal(maps[".bss.private"]?.valueSize, 4);
    assert.equal(globals.counted?.section, ".bss.private");
  });

  it("refuses BTF map definitions without the BTF", () => {
    const stripped = workshop.file("stripped.o", "");
    execFileSync("llvm-objcopy", ["--remove-section=.BTF", path, stripped]);
    assert.throws(() => readObject(readFileSync(stripped)), {
      code: "invalid",
      context: { remedy: "compile it with -g, and do not strip .BTF" },
    });
  });

  describe("of xdp-tools' objects", () => {
    const folder = `/usr/lib/${multiarch}/bpf`;
    for (const file of readdirSync(folder).filter((name) => name.endsWith(".o"))) {
      it(`agrees with bpftool and readelf on ${file}`, () => {
        const bytes = readFileSync(`${folder}/${file}`);
        const { types } = bpftool<{ types: { kind: string; name: string }[] }>(
          "btf",
          "dump",
          "file",
          `${folder}/${file}`,
        );
        const own = readBtf(btfOfObject(bytes) ?? Buffer.alloc(0)).types.slice(1);
        assert.deepEqual(
          own.map((type) => [
            type.kind.toUpperCase(),
            "name" in type && type.name !== "" ? type.name : "(anon)",
          ]),
          types.map(({ kind, name }) => [kind, name]),
        );
        const symbols = execFileSync("readelf", ["-sW", `${folder}/${file}`], { encoding: "utf8" });
        const sections = execFileSync("readelf", ["-SW", `${folder}/${file}`], { encoding: "utf8" });
        const indexOf = (section: string) =>
          new RegExp(`\\[ *(\\d+)\\] ${section.replace(".", "\\.")} `).exec(sections)?.[1];
        const named = (kind: string, test: (index: string) => boolean) =>
          symbols
            .split("\n")
            .map((line) => line.trim().split(/\s+/))
            .filter(([, , , type, , , index]) => type === kind && index !== undefined && test(index))
            .map((columns) => columns[7])
            .sort();
        const info = readObject(bytes);
        assert.deepEqual(
          Object.keys(info.entrypoints).sort(),
          named("FUNC", (index) => index !== indexOf(".text")),
        );
        assert.deepEqual(
          Object.values(info.maps)
            .filter((map) => !map.internal)
            .map(({ name }) => name)
            .sort(),
          named("OBJECT", (index) => index === indexOf(".maps")),
        );
      });
    }
  });
});
