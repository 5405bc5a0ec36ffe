/** A resource's state as the engine keeps it: checked inputs, incarnation, drift, outputs. */
import { EbpfError } from "../errors";
import { type CommonInputs, HOSTLESS_INPUTS } from "../resources/resource";

export { PartialError } from "./partial-error";

/** Plain JSON by property. */
export type Properties = Record<string, unknown>;

export interface State extends CommonInputs {
  incarnation: string;
}

/**
 * Form of the states of this version. States without `stateFormat` are of form 1; a version that changes what older
 * ones would misread writes a higher one.
 */
const STATE_FORMAT = 1;

/** Fails with `invalid` for a state that a newer version wrote in a form of its own. */
export function refuseNewer(kind: string, id: string, state: Properties): void {
  const format = state["stateFormat"] ?? STATE_FORMAT;
  if (typeof format === "number" && format <= STATE_FORMAT) return;
  throw new EbpfError(
    "invalid",
    `read the state of ${kind} "${id}": a newer pulumi-ebpf wrote it (form ${String(format)}, this version knows ${STATE_FORMAT})`,
    {},
    { remedy: "install the version of pulumi-ebpf that last updated the stack" },
  );
}

/** Fails with `invalid` for a state that somebody wrote by hand and left incomplete. */
export function stateOf(kind: string, id: string, outputs: Properties): State {
  const connection = outputs["connection"] as { host?: unknown } | undefined;
  const missing = [
    ...(typeof connection?.host === "string" ? [] : ["connection.host"]),
    ...["specId", "incarnation"].filter((name) => typeof outputs[name] !== "string" || outputs[name] === ""),
  ];
  refuseIncomplete(kind, id, missing);
  return { ...(outputs as unknown as State), drift: (outputs["drift"] as string[] | undefined) ?? [] };
}

/** Fails with `invalid` when a state lacks something. */
export function refuseIncomplete(kind: string, id: string, missing: readonly string[]): void {
  if (missing.length === 0) return;
  throw new EbpfError(
    "invalid",
    `read the state of ${kind} "${id}": it has no ${missing.join(" and no ")}`,
    {},
    { remedy: "restore an unedited state, or drop it with `pulumi state delete` and create it again" },
  );
}

/** What the host's Record keeps of checked inputs. */
export function withoutHostless(inputs: object): Properties {
  return Object.fromEntries(Object.entries(inputs).filter(([name]) => !isHostless(name)));
}

/** What the program says and the host never knew. */
export function hostlessOf(inputs: object): Properties {
  return Object.fromEntries(Object.entries(inputs).filter(([name]) => isHostless(name)));
}

function isHostless(name: string): boolean {
  return (HOSTLESS_INPUTS as readonly string[]).includes(name);
}
