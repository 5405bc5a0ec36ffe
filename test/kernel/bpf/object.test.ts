import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { policyProgram } from "../../../provider/agent/network-policy/program";
import { BpfObject, isErrno, MapHandle } from "../../../provider/bpf";
import { EbpfError } from "../../../provider/errors";
import { until } from "../../support/until";
import { bpftool, closesEverything, compile, loadHook, runCount, u32 } from "./support";

describe("BpfObject", () => {
  closesEverything();

  it("lists entrypoints and maps, internal maps by section", () => {
    using object = BpfObject.open(compile("hooks"), { name: "hooks" });
    assert.deepEqual(
      object.programs().map(({ name, type, sectionName }) => `${name} ${type} ${sectionName}`),
      [
        "xdp_verdict xdp xdp",
        "xdp_pass xdp xdp",
        "tc_verdict sched_cls tc",
        "refuse_connect cgroup_sock_addr cgroup/connect4",
        "on_getppid tracepoint tracepoint/syscalls/sys_enter_getppid",
        "on_sys_enter raw_tracepoint raw_tracepoint/sys_enter",
      ],
    );
    assert.deepEqual(
      object.maps().map(({ name, type, isInternal }) => [name, type, isInternal]),
      [
        ["runs", "array", false],
        [".rodata", "array", true],
        [".data", "array", true],
        [".bss", "array", true],
      ],
    );
    assert.equal(object.program("refuse_connect").expectedAttachType, "cgroup_inet4_connect");
  });

  it("opens a file as it opens bytes", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-object-"));
    try {
      const file = path.join(folder, "hooks.o");
      writeFileSync(file, compile("hooks"));
      using object = BpfObject.open(file, { name: "hooks" });
      assert.equal(object.programs().length, 6);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("writes globals of .rodata, .data and .bss before load", () => {
    using object = BpfObject.open(compile("hooks"), { name: "hooks" });
    for (const program of object.programs()) program.setAutoload(program.name === "xdp_verdict");
    for (const [section, value] of [
      [".rodata", 2],
      [".data", 41],
      [".bss", 42],
    ] as const) {
      object.map(section).setInitialValue(0, u32(value));
      assert.deepEqual(object.map(section).initialValue(), u32(value));
    }
    object.load();
    using program = object.program("xdp_verdict").handle();
    assert.equal(program.testRun({ data: Buffer.alloc(64) }).returnValue, 2);
    for (const [section, value] of [
      [".data", 41],
      [".bss", 42],
    ] as const) {
      using map = object.map(section).handle();
      const dump = bpftool("map", "dump", "id", String(map.info().id)) as { value: string[] }[];
      assert.equal(Number(dump[0]!.value[0]), value);
    }
  });

  it("refuses a global that does not fit its section", () => {
    using object = BpfObject.open(compile("hooks"), { name: "hooks" });
    assert.throws(() => object.map(".rodata").setInitialValue(2, u32(1)), RangeError);
    assert.throws(
      () => object.map("runs").setInitialValue(0, u32(1)),
      (error) => EbpfError.is(error, "not-found"),
    );
  });

  it("shares a given map with the object's program", () => {
    using shared = MapHandle.create({
      type: "array",
      name: "shared",
      keySize: 4,
      valueSize: 8,
      maxEntries: 1,
    });
    using object = BpfObject.open(compile("hooks"), { name: "hooks" });
    for (const program of object.programs()) program.setAutoload(program.name === "xdp_verdict");
    object.map("runs").reuse(shared);
    object.load();
    using program = object.program("xdp_verdict").handle();
    program.testRun({ data: Buffer.alloc(64), repeat: 3 });
    assert.equal(runCount(shared), 3n);
    assert.ok(program.info().mapIds.includes(shared.info().id));
  });

  it("gives handles that outlive it and agree with bpftool", () => {
    const { program, runs } = loadHook("xdp_verdict");
    try {
      const info = program.info();
      const shown = bpftool("prog", "show", "id", String(info.id)) as Record<string, unknown>;
      assert.equal(shown["tag"], info.tag);
      assert.equal(shown["name"], "xdp_verdict");
      assert.equal(shown["bytes_jited"], info.jitedBytes);
      assert.equal(shown["btf_id"], info.btfId);
      assert.deepEqual(new Set(shown["map_ids"] as number[]), new Set(info.mapIds));
      assert.ok(program.memlockBytes() > 0);
      const { maxEntries, keySize, valueSize } = runs.info();
      assert.deepEqual([maxEntries, keySize, valueSize], [1, 4, 8]);
    } finally {
      program.close();
      runs.close();
    }
  });

  it("changes sizes before load", () => {
    using object = BpfObject.open(compile("rejected"), { name: "sizes" });
    for (const program of object.programs()) program.setAutoload(false);
    object.map("counts").setMaxEntries(4096);
    object.load();
    using map = object.map("counts").handle();
    assert.equal(
      (bpftool("map", "show", "id", String(map.info().id)) as { max_entries: number }).max_entries,
      4096,
    );
  });

  it("names what it has when asked for what it has not", () => {
    using object = BpfObject.open(compile("hooks"), { name: "hooks" });
    assert.throws(
      () => object.program("nope"),
      (error) => EbpfError.is(error, "not-found") && error.message.includes("xdp_verdict"),
    );
  });

  it("refuses what is no object with libbpf's words", () => {
    assert.throws(
      () => BpfObject.open(Buffer.from("not an ELF file"), { name: "text" }),
      (error) =>
        EbpfError.is(error, "libbpf") &&
        error.details.errnoName === "LIBBPF_ERRNO__FORMAT" &&
        error.message.includes("not a proper ELF object"),
    );
  });

  it("leaves no descriptor, program or map behind when the verifier refuses one of several", () => {
    const count = () =>
      (bpftool("prog", "show") as { name: string }[]).filter(({ name }) => name === "mixed_ok");
    const before = count().length;
    using object = BpfObject.open(compile("rejected"), { name: "mixed" });
    assert.throws(
      () => object.load(),
      (error) => EbpfError.is(error, "verifier") && error.details.entrypoint === "null_check_missing",
    );
    assert.throws(() => object.map("counts").handle(), RangeError);
    assert.equal(count().length, before);
  });

  it("does not call it a verdict that signals ended the verification", async () => {
    const open = () => BpfObject.open(policyProgram().bytes, { name: "policy" });
    // libbpf's probes of the kernel, which signals would end as well
    using before = open();
    before.load();
    const handler = (): void => undefined;
    process.on("SIGWINCH", handler);
    const loop = `while kill -WINCH ${process.pid}; do :; done`;
    const signals = spawn("bash", ["-c", `echo; ${loop}`], { stdio: ["ignore", "pipe", "ignore"] });
    try {
      await once(signals.stdout, "data");
      // on a busy machine none may come in time
      await assert.rejects(
        until("an interrupted load", () => {
          using object = open();
          object.load();
        }),
        (error) => isErrno(error, "EAGAIN") && /signals/.test((error as EbpfError).context.remedy ?? ""),
      );
    } finally {
      signals.kill("SIGKILL");
      await once(signals, "close");
      process.off("SIGWINCH", handler);
    }
  });

  it("tells of accepted programs when asked to", () => {
    using object = BpfObject.open(compile("hooks"), { name: "hooks" });
    for (const program of object.programs()) program.setAutoload(program.name.startsWith("xdp"));
    object.load({ logLevel: 2 });
    assert.match(object.program("xdp_verdict").log(), /call bpf_map_lookup_elem/);
    assert.match(object.program("xdp_pass").log(), /processed \d+ insns/);
  });

  it("cannot be used after close", () => {
    const object = BpfObject.open(compile("hooks"), { name: "hooks" });
    const program = object.program("xdp_pass");
    object.close();
    object.close();
    assert.throws(() => program.type, RangeError);
    assert.throws(() => object.load(), RangeError);
  });
});
