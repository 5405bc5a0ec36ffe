/** Compiles C for BPF, or for this machine, into a folder of its own that `remove` takes away again. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

export const fixtures = resolve(__dirname, "../../fixtures/bpf");

/** Debian's folder name of this machine. */
export const multiarch = `${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`;

export class Workshop {
  readonly folder = mkdtempSync(join(tmpdir(), "pulumi-ebpf-btf-"));

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Path of the object of one fixture. */
  object(fixture: string, flags = ["-g"]): string {
    return this.compile(join(fixtures, fixture), flags);
  }

  /** Path of the object of C text. */
  objectOf(text: string): string {
    const source = this.file("source.bpf.c", text);
    return this.compile(source, ["-g"]);
  }

  /** Runs a C program of this machine and returns its output. */
  run(text: string, libraries: string[], args: string[], input = ""): string {
    const source = this.file("program.c", text);
    const program = join(this.folder, "program");
    execFileSync("clang", ["-O1", "-o", program, source, ...libraries], { stdio: "pipe" });
    return execFileSync(program, args, { encoding: "utf8", input });
  }

  file(name: string, content: string | Buffer): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** The bytes of one section, read by LLVM. */
  section(object: string, name: string): Buffer {
    const path = join(this.folder, "section.bin");
    execFileSync("llvm-objcopy", ["-O", "binary", `--only-section=${name}`, object, path]);
    return readFileSync(path);
  }

  private compile(source: string, flags: string[]): string {
    const object = join(this.folder, `${flags.join("")}-object.o`);
    const include = `/usr/include/${multiarch}`;
    execFileSync(
      "clang",
      [
        "-target",
        "bpf",
        "-O2",
        "-mcpu=v2",
        `-I${include}`,

        "-Wno-unknown-warning-option",
        ...flags,
        "-c",
        source,
        "-o",
        object,
      ],
      { stdio: "pipe" },
    );
    return object;
  }
}

/** `bpftool -j …` as JSON. */
export function bpftool<T>(...args: string[]): T {
  return JSON.parse(execFileSync("bpftool", ["-j", ...args], { encoding: "utf8" })) as T;
}
