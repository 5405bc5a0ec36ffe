import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import {
  compareLayouts,
  type DeclaredType,
  layoutOf,
  parseType,
  readBtf,
  readObject,
  specials,
  takesBtf,
  type TypeLayout,
  typeText,
  writeBtf,
} from "../../../provider/btf";
import { declaredTypes } from "./arbitrary";
import { bpftool, Workshop } from "./compile";

/** Loads BTF and creates a hash map of these types; says the errno of either. */
const loader = `
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <bpf/bpf.h>
int main(int argc, char **argv)
{
	static char raw[1 << 20], log[1 << 16];
	FILE *file = fopen(argv[1], "r");
	size_t size = fread(raw, 1, sizeof(raw), file);
	LIBBPF_OPTS(bpf_btf_load_opts, load, .log_buf = log, .log_size = sizeof(log), .log_level = 1);
	int btf = bpf_btf_load(raw, size, &load);
	LIBBPF_OPTS(bpf_map_create_opts, create, .btf_fd = btf, .btf_key_type_id = atoi(argv[2]),
		    .btf_value_type_id = atoi(argv[3]));

	if (btf < 0) {
		printf("btf: errno %d\\n%s", errno, log);
		return 0;
	}
	printf("%s", bpf_map_create(BPF_MAP_TYPE_HASH, "typed", atoi(argv[4]), atoi(argv[5]), 4, &create) < 0 ?
	       "map refused" : "ok");
	return 0;
}
`;

describe("writeBtf", () => {
  let workshop: Workshop;
  before(() => (workshop = new Workshop()));
  after(() => workshop.remove());

  it("is read back as the same types", () => {
    fc.assert(
      fc.property(declaredTypes, declaredTypes, (key, value) => {
        const [keyLayout, valueLayout] = [parseType(key), parseType(value)];
        const { raw, keyTypeId, valueTypeId } = writeBtf({ key: keyLayout, value: valueLayout });
        const btf = readBtf(raw);
        for (const [layout, id] of [
          [keyLayout, keyTypeId],
          [valueLayout, valueTypeId],
        ] as const) {
          const back = layoutOf(btf, id);
          assert.equal(back.size, layout.size);
          // floats are written as bytes, IPv6 addresses as struct in6_addr, so that old kernels take them
          const reasons = compareLayouts(layout, back, "it").filter(
            (reason) => !/from f(32|64).* to u8\[\d\]|to struct in6_addr$/.test(reason),
          );
          assert.deepEqual(reasons, [], typeText(key));
        }
      }),
      { numRuns: 500 },
    );
  });

  it("is what bpftool shows", () => {
    const value: DeclaredType = {
      packets: "u64",
      action: { enum: { PASS: 0, DROP: 1 } },
      mac: "mac",
      port: "be16",
    };
    const { raw, keyTypeId, valueTypeId } = writeBtf({ key: parseType("ipv4"), value: parseType(value) });
    const path = workshop.file("typed.btf", raw);
    const { types } = bpftool<{ types: { id: number; kind: string; name: string; size?: number }[] }>(
      "btf",
      "dump",
      "file",
      path,
    );
    const byId = new Map(types.map((type) => [type.id, type]));
    assert.deepEqual([byId.get(keyTypeId)?.kind, byId.get(keyTypeId)?.name], ["TYPEDEF", "__be32"]);
    assert.deepEqual([byId.get(valueTypeId)?.kind, byId.get(valueTypeId)?.size], ["STRUCT", 24]);
    const text = execFileSync("bpftool", ["btf", "dump", "file", path], { encoding: "utf8" });
    assert.match(text, /'PASS' val=0\s+'DROP' val=1/);
    assert.match(
      text,
      /'packets' type_id=\d+ bits_offset=0\s+'action' type_id=\d+ bits_offset=64\s+'mac' type_id=\d+ bits_offset=96/,
    );
  });

  it("is taken by the kernel, with a map of its types", function () {
    this.timeout(60_000);
    const types = fc.sample(fc.tuple(declaredTypes, declaredTypes), 12);
    for (const [key, value] of types) {
      const [keyLayout, valueLayout] = [parseType(key), parseType(value)];
      if (keyLayout.size > 512) continue;
      const { raw, keyTypeId, valueTypeId } = writeBtf({ key: keyLayout, value: valueLayout });
      const path = workshop.file("typed.btf", raw);
      const sizes = [keyTypeId, valueTypeId, keyLayout.size, valueLayout.size].map(String);
      assert.equal(
        workshop.run(loader, ["-lbpf"], [path, ...sizes]),
        "ok",
        `${typeText(key)} → ${typeText(value)}`,
      );
    }
  });

  it("keeps bit-fields, struct names and locks of types that came from an object", () => {
    const { globals } = readObject(readFileSync(workshop.object("layouts.bpf.c")));
    const bits = globals.bits?.type;
    assert.ok(bits);
    const written = writeBtf({ value: bits });
    assert.equal(written.keyTypeId, 0);
    assert.deepEqual(layoutOf(readBtf(written.raw), written.valueTypeId), bits);

    const member = (name: string, offsetBits: number, type: TypeLayout) => ({ name, offsetBits, type });
    const u32 = parseType("u32");
    const lock: TypeLayout = {
      kind: "struct",
      name: "bpf_spin_lock",
      size: 4,
      members: [member("val", 0, u32)],
    };
    const locked: TypeLayout = {
      kind: "struct",
      size: 8,
      members: [member("lock", 0, lock), member("n", 32, u32)],
    };
    const again = writeBtf({ value: locked });
    assert.deepEqual(specials(layoutOf(readBtf(again.raw), again.valueTypeId)), [
      { field: "bpf_spin_lock", path: "value.lock", offset: 0 },
    ]);
  });

  it("refuses kptrs, whose target it does not know", () => {
    const { maps } = readObject(readFileSync(workshop.object("kernel-fields.bpf.c")));
    const value = maps.sessions?.value;
    assert.ok(value);
    assert.throws(() => writeBtf({ value }), { code: "unsupported" });
  });

  it("knows the map types that take no BTF", () => {
    assert.deepEqual(["hash", "lpm_trie", "percpu_array", "devmap", "prog_array"].map(takesBtf), [
      true,
      true,
      true,
      false,
      false,
    ]);
  });
});
