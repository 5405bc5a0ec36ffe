/**
 * Ids of Specs that the agent derives from policies, and that no user's Spec can have: Pulumi's project names hold
 * no `~`. They are applied like any other, but listed, restored and removed with the policies they come from alone.
 */
import { formatSpecId } from "../../protocol/spec-id";

const PROJECT = "~network-policy";
/** Of all their ids. */
export const DERIVED_PREFIX = `${PROJECT}/`;

/** `netns` is the path of a network namespace; absent: the host's. */
export function planeId(netns: string | undefined, policyId: number): string {
  return derivedId(netns, "Plane", String(policyId));
}

/** The tables of connections that the planes of a namespace share; `version` names their shape. */
export function connectionsId(netns: string | undefined, version: string): string {
  return derivedId(netns, "Connections", version);
}

function derivedId(netns: string | undefined, kind: string, name: string): string {
  return formatSpecId({ project: PROJECT, stack: netns ?? "host", kind, name });
}

export function isDerived(id: string): boolean {
  return id.startsWith(DERIVED_PREFIX);
}

/** What a derived Record has in place of the incarnation that a create mints. */
export const DERIVED_INCARNATION = "derived";
