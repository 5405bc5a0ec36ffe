/** The parts of a URN, `urn:pulumi:<stack>::<project>::<parent types>$<type>::<name>`. */

export interface Urn {
  stack: string;
  project: string;
  /** `ebpf:index:Program`. */
  type: string;
  name: string;
}

export function parseUrn(urn: string): Urn {
  const [stack = "", project = "", types = "", ...name] = urn.replace(/^urn:pulumi:/, "").split("::");
  return { stack, project, type: types.slice(types.lastIndexOf("$") + 1), name: name.join("::") };
}

/** `Program` of `ebpf:index:Program`. */
export function kindOf(type: string): string {
  return type.slice(type.lastIndexOf(":") + 1);
}
