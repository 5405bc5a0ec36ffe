/** What an update changes, in a person's words, where the paths of what differs do not tell. */
import { parseSpecId } from "../protocol/spec-id";
import type { ResourceDefinition } from "../resources/resource";
import type { Call } from "./call";
import { withDefaults } from "./defaults";
import type { Properties } from "./state";

/** Of checked inputs, or outputs; nothing of a resource that is yet to be created. */
export function reportChanges(
  definition: ResourceDefinition,
  olds: Properties | undefined,
  news: Properties,
  call: Call,
): void {
  if (olds === undefined || definition.changes === undefined) return;
  const { name } = parseSpecId(String(news["specId"]));
  for (const text of definition.changes(withDefaults(definition, olds), withDefaults(definition, news)))
    call.report(`${name}: ${text}`);
}
