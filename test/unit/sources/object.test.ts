import assert from "node:assert/strict";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { readObject } from "../../../provider/btf";
import { EbpfError } from "../../../provider/errors";
import { openSources } from "../../../provider/sources";
import type { ObjectRequest, ObjectSource } from "../../../provider/sources/source";

const filter = `#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_filter(struct xdp_md *ctx)
{
	return ctx->rx_queue_index == QUEUE ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
`;

describe("object sources", () => {
  let directory: string;
  const environment = { ...process.env };

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), "ebpf-sources-"));
    process.env["XDG_CACHE_HOME"] = path.join(directory, "cache");
  });
  afterEach(() => {
    for (const name of ["XDG_CACHE_HOME", "CLANG"]) {
      if (environment[name] === undefined) delete process.env[name];
      else process.env[name] = environment[name];
    }
    rmSync(directory, { recursive: true });
  });

  function write(name: string, text: string | Buffer): string {
    const file = path.join(directory, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, text);
    return file;
  }

  function request(file: string, more: Partial<ObjectRequest> = {}): ObjectRequest {
    return { kind: "object", property: "source", path: file, includes: [], defines: { QUEUE: "3" }, ...more };
  }

  async function open(file: string, more: Partial<ObjectRequest> = {}): Promise<ObjectSource> {
    const [source] = await openSources([request(file, more)]);
    return source as ObjectSource;
  }

  async function reasons(requests: ObjectRequest[]): Promise<string[]> {
    const error: unknown = await openSources(requests).then(
      () => assert.fail("opened"),
      (thrown: unknown) => thrown,
    );
    assert.ok(EbpfError.is(error, "invalid"), String(error));
    return (error.context.problems ?? []).map(({ property, reason }) => `${property}: ${reason}`);
  }

  it("compiles C to an object with its entrypoint and line information", async () => {
    const source = await open(write("filter.bpf.c", filter));
    const info = readObject(source.bytes);
    assert.equal(info.entrypoints["xdp_filter"]?.section, "xdp");
    assert.ok(info.hasBtf);
    assert.ok(Buffer.from(source.bytes).includes("return ctx->rx_queue_index == QUEUE"));
    assert.equal(source.fileName, "filter.bpf.c");
  });

  it("gives the same object wherever the checkout lies", async () => {
    const here = await open(write("a/filter.bpf.c", filter));
    const there = await open(write("elsewhere/b/filter.bpf.c", filter));
    assert.equal(there.blob, here.blob);
    assert.equal(there.sourceDigest, here.sourceDigest);
    assert.ok(!Buffer.from(here.bytes).includes(directory));
  });

  it("compiles once for 20 openings at once, and not at all for what the cache holds", async () => {
    const counter = write("clang", `#!/bin/sh\necho "$@" >>${directory}/calls\nexec clang "$@"\n`);
    chmodSync(counter, 0o755);
    process.env["CLANG"] = counter;
    const file = write("a/filter.bpf.c", filter);
    const sources = await Promise.all(Array.from({ length: 20 }, () => open(file)));
    const elsewhere = await open(write("b/filter.bpf.c", filter));
    assert.equal(new Set([...sources, elsewhere].map(({ blob }) => blob)).size, 1);
    const calls = readFileSync(path.join(directory, "calls"), "utf8").split("\n");
    assert.equal(calls.filter((call) => call.includes(" -c ")).length, 1);
    assert.equal(calls.filter((call) => call.includes(" -E ")).length, 2);
  });

  it("sees changes of the source, of a header and of a macro", async () => {
    const header = write("include/queue.h", "#define QUEUE 1\n");
    const file = write("filter.bpf.c", filter.replace("SEC(", '#include "queue.h"\n\nSEC('));
    const options = { includes: [path.dirname(header)], defines: {} };
    const first = await open(file, options);
    writeFileSync(header, "#define QUEUE 2\n");
    const second = await open(file, options);
    writeFileSync(file, filter);
    const third = await open(file, { defines: { QUEUE: "4" } });
    const fourth = await open(file, { defines: { QUEUE: "5" } });
    const all = [first, second, third, fourth];
    assert.equal(new Set(all.map(({ sourceDigest }) => sourceDigest)).size, 4);
    assert.equal(new Set(all.map(({ blob }) => blob)).size, 4);
  });

  it("shows the compiler's own words at the property", async () => {
    const [reason] = await reasons([request(write("filter.bpf.c", filter.replace("XDP_PASS", "XDP_PASSS")))]);
    assert.doesNotMatch(reason!, /generated/);
    assert.match(reason!, /^source: compile filter\.bpf\.c: filter\.bpf\.c:7:\d+: error: .*XDP_PASSS[^]*\^/);
  });

  it("names a header that is missing", async () => {
    const [reason] = await reasons([request(write("filter.bpf.c", '#include "nowhere.h"\n'))]);
    assert.match(reason!, /'nowhere\.h' file not found/);
  });

  it("says what to do without clang", async () => {
    const file = write("filter.bpf.c", filter);
    process.env["CLANG"] = path.join(directory, "no-clang");
    const [reason] = await reasons([request(file)]);
    assert.match(reason!, /no-clang is not installed; install clang, or give the compiled \.o/);
  });

  it("says so when clang cannot make BPF", async () => {
    const other = write(
      "clang",
      `#!/bin/sh\ncase "$*" in *--print-targets*) echo '    x86-64 - x86';; *-E*) exec clang "$@";; *--version*) echo other;; *) exit 1;; esac\n`,
    );
    chmodSync(other, 0o755);
    process.env["CLANG"] = other;
    const [reason] = await reasons([request(write("filter.bpf.c", filter))]);
    assert.match(reason!, /cannot compile for BPF; set CLANG/);
  });

  it("compiles anew for another clang, which alone is no change of the source", async () => {
    const first = await open(write("a/filter.bpf.c", filter));
    const other = write("clang", '#!/bin/sh\n[ "$*" = --version ] && echo other || exec clang "$@"\n');
    chmodSync(other, 0o755);
    process.env["CLANG"] = other;
    const second = await open(write("b/filter.bpf.c", filter));
    assert.equal(second.sourceDigest, first.sourceDigest);
    const cache = path.join(directory, "cache", "pulumi-ebpf", "objects");
    assert.equal(readdirSync(cache).length, 2);
  });

  it("says so when the cache cannot be written", async () => {
    process.env["XDG_CACHE_HOME"] = write("no-directory", "");
    const [reason] = await reasons([request(write("filter.bpf.c", filter))]);
    assert.match(reason!, /cannot keep the object in .*no-directory.*\(ENOTDIR\); set XDG_CACHE_HOME/);
  });

  it("says so when clang ends without a word", async () => {
    const other = write("clang", "#!/bin/sh\nexit 3\n");
    chmodSync(other, 0o755);
    process.env["CLANG"] = other;
    const [reason] = await reasons([request(write("filter.bpf.c", filter))]);
    assert.match(reason!, /clang ended with status 3$/);
  });

  it("reports every file that cannot be read, each with its cause", async () => {
    const all = await reasons([
      request(path.join(directory, "gone.o")),
      request(directory),
      request(path.join(write("file", ""), "below.o"), { property: "other" }),
    ]);
    assert.match(all[0]!, /^source: .*gone\.o: no such file$/);
    assert.match(all[1]!, /is a directory$/);
    assert.match(all[2]!, /^other: .*below\.o: a part of the path is no directory$/);
  });

  it("takes an object as it is, and sees when it changes", async () => {
    const compiled = await open(write("filter.bpf.c", filter));
    const file = write("filter.o", Buffer.from(compiled.bytes));
    const taken = await open(file);
    assert.equal(taken.blob, compiled.blob);
    assert.equal(taken.sourceDigest, compiled.blob);
    writeFileSync(file, Buffer.concat([compiled.bytes, Buffer.alloc(1)]));
    assert.notEqual((await open(file)).blob, compiled.blob);
  });
});
