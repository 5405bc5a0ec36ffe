import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { libbpfPrototypes } from "../../../provider/bpf/prototypes";
import { type FieldType, Struct } from "../../../provider/bpf/struct";
import * as structs from "../../../provider/bpf/structs";

/** Members of a union in C that have a name of their own in our table. */
const RENAMED: Record<string, string> = {
  "bpf_link_info__perf_event.perf_event_type": "perf_event.type",
  "bpf_link_info__perf_event.tp_name": "perf_event.tracepoint.tp_name",
  "bpf_link_info__perf_event.name_len": "perf_event.tracepoint.name_len",
  "bpf_prog_query_opts.count": "prog_cnt",
  "perf_event_attr.flags": "",
};
/** Fields outside the union. */
const HEADS: Record<string, string[]> = {
  bpf_link_create_opts: ["sz", "flags", "iter_info", "iter_info_len", "target_btf_id"],
  bpf_link_info: ["type", "id", "prog_id"],
};

interface Headers {
  flags: string[];
  text: string;
  /** Of the libbpf that our tables follow; the system's may be older. */
  ours: boolean;
}

/** Ours when it can be built, else the system's. */
async function findHeaders(): Promise<Headers> {
  const { buildLibbpf } = (await import(path.resolve("scripts/libbpf.mjs"))) as {
    buildLibbpf(options: { log(line: string): void }): Promise<{ include: string } | null>;
  };
  const built = await buildLibbpf({ log: () => undefined });
  const include = built?.include ?? "/usr/include";
  const uapi = built === null ? include : path.join(include, "uapi");
  const files = [`${include}/bpf/bpf.h`, `${include}/bpf/libbpf.h`, `${uapi}/linux/bpf.h`];
  return {
    flags: built === null ? [] : [`-I${include}`, `-I${uapi}`],
    text: files.map((file) => readFileSync(file, "utf8")).join(""),
    ours: built !== null,
  };
}

/** Whether an older header has it, too. */
function has({ text }: Headers, struct: string, member: string): boolean {
  const body = text.slice(text.indexOf(`struct ${struct} {`)).split("\n}")[0] ?? "";
  return member.split(".").every((name) => new RegExp(`\\b${name}\\b`).test(body));
}

function memberOf(struct: string, field: string): string | undefined {
  if (field.startsWith("padding")) return undefined;
  // bit-fields have no offset in C
  if (field === "gpl_compatible") return undefined;
  const renamed = RENAMED[`${struct}.${field}`];
  if (renamed !== undefined) return renamed === "" ? undefined : renamed;
  const [outer, union] = struct.split("__") as [string, string?];
  return union === undefined || HEADS[outer]!.includes(field) ? field : `${union}.${field}`;
}

describe("bpf structs and prototypes", function () {
  // the library may have to be built first
  this.timeout(300_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-layout-"));
  });
  after(() => rmSync(folder, { recursive: true }));

  it("lay out every field where clang does", async () => {
    const headers = await findHeaders();
    const all = Object.values(structs).filter((value) => value instanceof Struct);
    const fields = all.flatMap((struct) =>
      Object.entries(struct.offsets).flatMap(([field, offset]) => {
        const member = memberOf(struct.name, field);
        const outer = struct.name.split("__")[0]!;
        const foreign = struct.name === "rlimit" || struct.name === "perf_event_attr";
        const known = member !== undefined && (headers.ours || foreign || has(headers, outer, member));
        return known ? [{ struct, field, offset, member }] : [];
      }),
    );
    const source = path.join(folder, "layout.c");
    const lines = fields.map(({ struct, member }) => {
      const type = `struct ${struct.name.split("__")[0]}`;
      return `printf("%zu %zu\\n", offsetof(${type}, ${member}), sizeof(((${type} *)0)->${member}));`;
    });
    const include = ["stddef.h", "stdio.h", "sys/resource.h", "linux/bpf.h", "linux/perf_event.h"];
    const own = ["bpf/bpf.h", "bpf/libbpf.h"];
    writeFileSync(
      source,
      `${[...include, ...own].map((name) => `#include <${name}>\n`).join("")}int main(void) {\n${lines.join("\n")}\n}\n`,
    );
    const program = path.join(folder, "layout");
    execFileSync("clang", ["-w", ...headers.flags, source, "-o", program]);
    const clang = execFileSync(program, { encoding: "utf8" }).trim().split("\n");
    const ours = fields.map(({ struct, field, offset }) => `${offset} ${widthOf(struct, field)}`);
    const name = (index: number) => `${fields[index]!.struct.name}.${fields[index]!.field}`;
    assert.deepEqual(
      ours.map((line, index) => `${name(index)} ${line}`),
      clang.map((line, index) => `${name(index)} ${line}`),
    );
    assert.ok(!headers.ours || fields.length > 130);
  });

  it("declare functions as the headers do", async () => {
    const { text, ours } = await findHeaders();
    const flat = text.replace(/\s+/g, " ").replaceAll("( ", "(").replaceAll("* ", "*");
    for (const [name, prototype] of Object.entries(libbpfPrototypes)) {
      // an older libbpf lacks some functions
      if (ours || new RegExp(`\\b${name}\\(`).test(flat))
        assert.ok(flat.includes(`${prototype};`), prototype);
    }
  });
});

function widthOf(struct: Struct<Record<string, FieldType>>, field: string): number {
  const buffer = struct.encode();
  const decoded = struct.decode(buffer)[field];
  if (Buffer.isBuffer(decoded)) return decoded.length;
  if (typeof decoded === "bigint") return 8;
  return field === "relaxed_maps" || field === "attach_mode" ? 1 : 4;
}
