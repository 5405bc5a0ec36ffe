/** A program of an object that is not yet, or just, loaded. */
import { duplicate } from "./descriptor";
import { checkCode } from "./errno";
import { libbpf } from "./library";
import { ObjectPart } from "./object-part";
import { ProgramHandle } from "./program";
import { cText } from "./struct";
import {
  ATTACH_TYPES,
  attachTypeName,
  PROGRAM_TYPES,
  programTypeName,
  type AttachType,
  type ProgramType,
} from "./uapi";

export class ObjectProgram extends ObjectPart {
  private logBuffer: Buffer | undefined;

  /** The C function. */
  readonly name: string;
  /** `xdp`, `tc`, `cgroup/connect4` … */
  readonly sectionName: string;

  constructor(pointer: bigint) {
    super(pointer, "program");
    this.name = libbpf.bpf_program__name(pointer) ?? "";
    this.sectionName = libbpf.bpf_program__section_name(pointer) ?? "";
  }

  get type(): ProgramType {
    return programTypeName(libbpf.bpf_program__type(this.pointer));
  }

  get expectedAttachType(): AttachType {
    return attachTypeName(libbpf.bpf_program__expected_attach_type(this.pointer));
  }

  get autoload(): boolean {
    return libbpf.bpf_program__autoload(this.pointer);
  }

  /** After load: with the subprograms it calls. */
  get instructionCount(): number {
    return Number(libbpf.bpf_program__insn_cnt(this.pointer));
  }

  setAutoload(autoload: boolean): void {
    const rc = libbpf.bpf_program__set_autoload(this.pointer, autoload);
    checkCode("bpf_program__set_autoload", rc, `choose ${this.name}`);
  }

  setType(type: ProgramType): void {
    const rc = libbpf.bpf_program__set_type(this.pointer, PROGRAM_TYPES[type]);
    checkCode("bpf_program__set_type", rc, `make ${this.name} a ${type} program`);
  }

  setExpectedAttachType(type: AttachType): void {
    const rc = libbpf.bpf_program__set_expected_attach_type(this.pointer, ATTACH_TYPES[type]);
    checkCode("bpf_program__set_expected_attach_type", rc, `make ${this.name} attach as ${type}`);
  }

  /** For offload to that interface's device. */
  setIfindex(ifindex: number): void {
    libbpf.bpf_program__set_ifindex(this.pointer, ifindex);
  }

  /** Kernel function of a tracing or lsm program, or function of `target` for an extension. */
  setAttachTarget(functionName: string, target?: ProgramHandle): void {
    const rc = libbpf.bpf_program__set_attach_target(this.pointer, target?.fd ?? 0, functionName);
    checkCode("bpf_program__set_attach_target", rc, `aim ${this.name} at ${functionName}`);
  }

  /** `buffer` is kept here: libbpf writes to it until load returns. */
  setLog(buffer: Buffer, level: number): void {
    buffer[0] = 0;
    this.logBuffer = buffer;
    const rc = libbpf.bpf_program__set_log_buf(this.pointer, buffer, buffer.length);
    checkCode("bpf_program__set_log_buf", rc);
    checkCode("bpf_program__set_log_level", libbpf.bpf_program__set_log_level(this.pointer, level));
  }

  /** What the verifier said at load; empty when nothing. */
  log(): string {
    return this.logBuffer === undefined ? "" : cText(this.logBuffer);
  }

  /** A reference of its own, which outlives the object. After load. */
  handle(): ProgramHandle {
    return new ProgramHandle(duplicate(libbpf.bpf_program__fd(this.pointer), `program ${this.name}`));
  }
}
