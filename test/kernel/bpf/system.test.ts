import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  errnoName,
  interfaceIndex,
  interfaceName,
  isOnFileSystem,
  libbpfVersion,
  memlockLimit,
  possibleCpus,
  programIds,
  tryLock,
  unlock,
  BtfHandle,
  btfIds,
} from "../../../provider/bpf";
import { EbpfError } from "../../../provider/errors";
import { bpftool, closesEverything, loadHook, PrivateBpffs, PrivateNetwork } from "./support";

/** Runs TypeScript in a process of its own; its standard output. */
function inOwnProcess(code: string, env: NodeJS.ProcessEnv): string {
  const child = spawnSync(process.execPath, ["--require", "tsx/cjs", "--eval", code], {
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  return child.stdout;
}

const tellError = `
  try { console.log(require("./provider/bpf").libbpfVersion().path); }
  catch (error) { console.log(JSON.stringify(error.toWire())); }`;

describe("libbpf and libc", () => {
  closesEverything();

  it("tells which libbpf it found", () => {
    const { major, minor, path: file } = libbpfVersion();
    assert.equal(major, 1);
    assert.ok(minor >= 0 && file.endsWith("libbpf.so.1"));
  });

  it("takes the libbpf that the environment names, and no other", () => {
    const env = { PULUMI_EBPF_LIBBPF: "/nonexistent/libbpf.so.1" };
    const error = EbpfError.fromWire(JSON.parse(inOwnProcess(tellError, env)));
    assert.ok(EbpfError.is(error, "unsupported"));
    assert.match(error.message, /\/nonexistent\/libbpf\.so\.1/);
  });

  it("calls a symbol that the library lacks a missing feature", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-library-"));
    try {
      const library = path.join(folder, "libbpf.so.1");
      const source = "void *libbpf_set_print(void *fn) { return fn; }";
      execFileSync("clang", ["-shared", "-fPIC", "-x", "c", "-", "-o", library], { input: source });
      const error = EbpfError.fromWire(JSON.parse(inOwnProcess(tellError, { PULUMI_EBPF_LIBBPF: library })));
      assert.ok(EbpfError.is(error, "unsupported"));
      assert.equal(error.details.feature, "libbpf_major_version");
      assert.ok(error.message.includes(library));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("names errno of the kernel, of libc and of libbpf", () => {
    assert.deepEqual([1, 95, 524, 4001, 9999].map(errnoName), [
      "EPERM",
      "EOPNOTSUPP",
      "ENOTSUPP",
      "LIBBPF_ERRNO__FORMAT",
      "errno 9999",
    ]);
  });

  it("comes back from another network namespace, also after an error", () => {
    const home = readlinkSync("/proc/thread-self/ns/net");
    const network = new PrivateNetwork();
    try {
      const inside = network.inside(() => readlinkSync("/proc/thread-self/ns/net"));
      assert.notEqual(inside, home);
      assert.throws(() =>
        network.inside(() => {
          throw new Error("inside");
        }),
      );
      assert.equal(readlinkSync("/proc/thread-self/ns/net"), home);
    } finally {
      network.remove();
    }
  });

  it("finds interfaces both ways", () => {
    const network = new PrivateNetwork();
    try {
      network.inside(() => {
        assert.equal(interfaceName(interfaceIndex("veth1")), "veth1");
        assert.equal(interfaceName(9999), undefined);
        assert.throws(
          () => interfaceIndex("nope"),
          (error) => EbpfError.is(error, "not-found") && error.details.name === "nope",
        );
      });
    } finally {
      network.remove();
    }
  });

  it("locks a file against other processes until unlocked", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "pulumi-ebpf-lock-"));
    try {
      const file = path.join(folder, "lock");
      const lock = tryLock(file)!;
      assert.equal(spawnSync("flock", ["-n", file, "true"]).status, 1);
      assert.equal(tryLock(file), undefined);
      unlock(lock);
      assert.equal(spawnSync("flock", ["-n", file, "true"]).status, 0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it("tells file systems apart", () => {
    const bpffs = new PrivateBpffs();
    try {
      assert.equal(isOnFileSystem(bpffs.path, "bpf"), true);
      assert.equal(isOnFileSystem("/proc", "bpf"), false);
    } finally {
      bpffs.remove();
    }
  });

  it("reads limits and cpus as the shell does", () => {
    const soft = execFileSync("sh", ["-c", "ulimit -l"], { encoding: "utf8" }).trim();
    assert.equal(memlockLimit().softBytes, soft === "unlimited" ? Infinity : Number(soft) * 1024);
    assert.ok(possibleCpus() >= Number(execFileSync("nproc", ["--all"], { encoding: "utf8" })));
  });

  it("lists ids as bpftool does", () => {
    const { program, runs } = loadHook("xdp_verdict");
    try {
      const { id, btfId } = program.info();
      assert.ok([...programIds()].includes(id));
      assert.ok([...btfIds()].includes(btfId));
      using btf = BtfHandle.fromId(btfId);
      const shown = bpftool("btf", "show", "id", String(btfId)) as { size: number };
      assert.equal(shown.size, btf.info().size);
      assert.equal(btf.raw().readUInt16LE(), 0xeb9f);
      using copy = BtfHandle.load(btf.raw());
      assert.equal(copy.info().kernel, false);
    } finally {
      program.close();
      runs.close();
    }
  });
});
