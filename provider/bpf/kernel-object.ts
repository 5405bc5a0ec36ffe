/** What programs, maps, links and BTF have in common: ids, info and pins. */
import { unlinkSync } from "node:fs";
import { Descriptor } from "./descriptor";
import { checkCode, Errno } from "./errno";
import { koffi } from "./koffi";
import { libbpf } from "./library";
import type { DecodedFields, EncodedFields, FieldType, Struct } from "./struct";

/** An owned reference to a program, map, link or BTF object. Closing it frees the object if nothing else holds it. */
export abstract class KernelObject extends Descriptor {
  /** Makes bpffs hold the object. Fails with EEXIST when the path is taken, EPERM when it is not on bpffs. */
  pin(path: string): void {
    checkCode("bpf_obj_pin", libbpf.bpf_obj_pin(this.fd, path), `pin ${this.what} at ${path}`);
  }
}

/** The descriptor behind a pin. The kernel does not check the type: callers read the info first. */
export function openPin(path: string, what: string): number {
  return checkCode("bpf_obj_get", libbpf.bpf_obj_get(path), `open pinned ${what} ${path}`);
}

/** Removes a pin; true when there was one. */
export function unpin(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** BPF_OBJ_GET_INFO_BY_FD into one struct. `input` presets in/out fields such as buffers for names. */
export function readInfo<F extends Record<string, FieldType>>(
  object: Descriptor,
  struct: Struct<F>,
  input: EncodedFields<F> = {},
): DecodedFields<F> {
  const buffer = struct.encode(input);
  const length = new Uint32Array([struct.size]);
  checkCode(
    "bpf_obj_get_info_by_fd",
    libbpf.bpf_obj_get_info_by_fd(object.fd, buffer, length),
    `read ${object.what} info`,
  );
  return struct.decode(buffer);
}

type NextId = (start: number, next: Uint32Array) => number;

/** All ids of one kind, ascending. Needs CAP_SYS_ADMIN. An id can be gone when it is used. */
function* ids(fn: string, call: NextId): Generator<number> {
  const next = new Uint32Array(1);
  for (;;) {
    const rc = call(next[0] as number, next);
    if (rc < 0 && koffi.errno() === Errno.ENOENT) return;
    checkCode(fn, rc, "list ids");
    yield next[0] as number;
  }
}

export const programIds = () => ids("bpf_prog_get_next_id", libbpf.bpf_prog_get_next_id);
export const mapIds = () => ids("bpf_map_get_next_id", libbpf.bpf_map_get_next_id);
export const linkIds = () => ids("bpf_link_get_next_id", libbpf.bpf_link_get_next_id);
export const btfIds = () => ids("bpf_btf_get_next_id", libbpf.bpf_btf_get_next_id);
