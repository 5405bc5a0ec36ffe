/** The name of a Spec, `[<owner>:]<project>/<stack>/<Kind>/<name>`, each part percent-escaped. Pure. */
import { EbpfError } from "../errors";

export interface SpecId {
  /** Set by the config `ebpf:owner`; tells two backends with equal project and stack apart. */
  owner?: string;
  project: string;
  stack: string;
  kind: string;
  name: string;
}

export function formatSpecId(id: SpecId): string {
  const parts = [id.project, id.stack, id.kind, id.name].map(encodeURIComponent).join("/");
  return id.owner === undefined ? parts : `${encodeURIComponent(id.owner)}:${parts}`;
}

export function parseSpecId(text: string): SpecId {
  const match = /^(?:([^:/]+):)?([^:/]+)\/([^:/]+)\/([^:/]+)\/([^:/]+)$/.exec(text);
  if (!match) {
    throw new EbpfError(
      "invalid",
      `parse spec id "${text}": expected [<owner>:]<project>/<stack>/<Kind>/<name>`,
      {},
    );
  }
  const [owner, project, stack, kind, name] = match
    .slice(1)
    .map((part: string | undefined) => (part === undefined ? undefined : decodeURIComponent(part)));
  return {
    ...(owner === undefined ? {} : { owner }),
    project: project!,
    stack: stack!,
    kind: kind!,
    name: name!,
  };
}
