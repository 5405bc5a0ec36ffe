/**
 * The policy program in a load of its own, attached nowhere: BPF_PROG_TEST_RUN has it judge packets, and it tells why. Owns
 * the load and what the program says. Does not own: which generation it judges by, and what its maps are for.
 */
import { BpfObject, type MapHandle, type ProgramHandle } from "../../bpf";
import { type ObjectInfo, decode } from "../../btf";
import { SLOT } from "../../network-policy/cells";
import type { Reason } from "../../network-policy/packet";
import type { PolicyProgram } from "./program";

/** As enum reason of the program. */
export const REASONS = [
  "rule",
  "default",
  "unnamed",
  "connection",
  "infrastructure",
  "not-ip",
  "fragment",
  "fragment-unknown",
  "malformed",
  "broken",
] as const satisfies (Reason | "broken")[];

/** What the program says of a packet. A slot is that of the deciding rule; see CompiledUnion. */
export interface Judged {
  verdict: "allow" | "deny";
  reason: (typeof REASONS)[number];
  slot: number | undefined;
  audit: { verdict: "allow" | "deny"; slot: number | undefined };
}

export type Entrypoint = "judge_ingress" | "judge_egress" | "judge_xdp";

/** Tables of what earlier packets opened. */
export const CONNECTION_MAPS = ["half_open", "established", "fragments"] as const;

export class LoadedProgram implements Disposable {
  readonly programs = new Map<string, ProgramHandle>();
  readonly maps = new Map<string, MapHandle>();

  /** `prepare` sizes and shares maps, and says what is not loaded. `globals` as setGlobals has them. */
  constructor(
    private readonly program: Pick<PolicyProgram, "bytes" | "info">,
    globals: Globals,
    prepare: (object: BpfObject) => void,
  ) {
    using object = BpfObject.open(program.bytes, { name: "policy" });
    setGlobals(object, program.info, { explain: 1, ...globals });
    prepare(object);
    object.load();
    for (const one of object.programs()) if (one.autoload) this.programs.set(one.name, one.handle());
    for (const map of object.maps()) if (!map.isInternal) this.maps.set(map.name, map.handle());
  }

  map(name: string): MapHandle {
    return this.maps.get(name)!;
  }

  /** `frame` begins with an Ethernet header. */
  judge(entrypoint: Entrypoint, frame: Buffer): Judged & { returnValue: number } {
    const { returnValue } = this.programs.get(entrypoint)!.testRun({ data: frame });
    const layout = this.program.info.maps["explained"]!.value!;
    const event = decode(layout, this.map("explained").lookup(Buffer.alloc(4))!) as Explained;
    return {
      verdict: event.pass ? "allow" : "deny",
      reason: REASONS[event.reason]!,
      slot: slotOf(event.rule),
      audit: { verdict: event.audit_pass ? "allow" : "deny", slot: slotOf(event.audit) },
      returnValue,
    };
  }

  /** Connections and fragments. */
  forget(): void {
    for (const name of CONNECTION_MAPS) {
      const map = this.map(name);
      for (let key = map.nextKey(null); key !== undefined; key = map.nextKey(null)) map.delete(key);
    }
  }

  [Symbol.dispose](): void {
    for (const one of [...this.programs.values(), ...this.maps.values()]) one.close();
  }
}

/** The members of struct event that tell the verdict. */
interface Explained {
  rule: number;
  audit: number;
  reason: number;
  pass: number;
  audit_pass: number;
}

/** Of a value: slot + 1 with flags, 0 for none. */
export function slotOf(value: number): number | undefined {
  return value === 0 ? undefined : (value & SLOT) - 1;
}

/** Values of `.rodata`, by name; of an array its first elements, of 8 bytes each. */
export type Globals = Readonly<Record<string, number | readonly bigint[] | undefined>>;

export function setGlobals(
  object: BpfObject,
  { globals }: Pick<ObjectInfo, "globals">,
  values: Globals,
): void {
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const { offset, size } = globals[name]!;
    const [elements, width] = typeof value === "number" ? [[BigInt(value)], size] : [value, 8];
    elements.forEach((element, index) => {
      const buffer = Buffer.alloc(8);
      buffer.writeBigUInt64LE(element);
      object.map(".rodata").setInitialValue(offset + index * width, buffer.subarray(0, width));
    });
  }
}
