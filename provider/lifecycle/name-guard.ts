/** Two resources must not mean one thing on the host. */
import type { Problem } from "../errors";
import { parseSpecId } from "../protocol/spec-id";
import type { Properties } from "./state";

/**
 * A resource that was renamed keeps its Spec id; a new one of its former name would take that away. The guard sees
 * every check of a process, and knows resources by the id that the program gives them: a replacement is checked twice,
 * the second time without a state.
 */
export function createNameGuard(): (
  kind: string,
  olds: Properties | undefined,
  news: Properties,
) => Problem | undefined {
  /** Spec id → the id that the program gave to the resource which has it. */
  const owners = new Map<string, string>();
  return (kind, olds, news) => {
    const given = String(news["specId"]);
    const specId = String(olds?.["specId"] ?? given);
    const owner = owners.get(specId) ?? given;
    owners.set(specId, owner);
    if (owner === given) return undefined;
    const [mine, theirs] = [given, owner].map((id) => parseSpecId(id).name);
    return {
      property: "specId",
      reason:
        `${kind} "${mine}" and ${kind} "${theirs}" are both ${specId} on the host, because one of them was renamed: ` +
        "give the other a new name",
    };
  };
}
