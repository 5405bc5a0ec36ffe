/** What differs between a fleet's state and new inputs. No I/O. */
import type { ResourceDefinition } from "../../resources/resource";
import { type Diff, diffInputs } from "../diff";
import type { Properties } from "../state";
import { UNKNOWN } from "../../resources/unknown";
import { unknownPaths } from "../unknowns";
import type { FleetState } from "./state";
import { type FleetInputs, hostsText, isFleet, membersOf, namesOf, versionOf, workOf } from "./targets";

export interface FleetDiff extends Diff {
  /** What the paths do not say, for a person. */
  notes?: string[];
}

/** One of the two at least is a fleet's; `olds` are outputs. */
export function diffFleet(
  definition: ResourceDefinition,
  olds: Properties,
  news: Properties,
  ignoreChanges: readonly string[] = [],
): FleetDiff {
  // a reference that is not known yet may bring either: most likely what it brought before
  const { connection, ...rest } = news;
  const known = connection === UNKNOWN && isFleet(olds) ? rest : news;
  const diff = diffInputs(definition, olds, known, ignoreChanges);
  if (isFleet(olds) !== isFleet(known)) return replacing(diff);
  if (unknownPaths(known).length > 0) return diff;
  const inputs = known as unknown as FleetInputs;
  const members = membersOf(inputs.hosts);
  const desired = versionOf(definition, inputs);
  const { behind, leaving } = workOf(members, desired, olds as unknown as FleetState);
  const notes = [
    ...(behind.length === 0 || behind.length === members.length
      ? []
      : [`${behind.length} of ${hostsText(members.length)} to change: ${namesOf(behind)}`]),
    ...(leaving.length === 0 ? [] : [`${hostsText(leaving.length)} to leave: ${namesOf(leaving)}`]),
  ];
  const paths: Diff["paths"] = behind.length > 0 && !diff.changes ? { targets: "update" } : diff.paths;
  return { ...diff, changes: Object.keys(paths).length > 0, paths, notes };
}

/** One host and many are two things with one name on the hosts: the new one adopts what the old one left. */
function replacing(diff: Diff): Diff {
  const ways = Object.keys(diff.paths).filter((path) => /^(connection|hosts)($|\.)/.test(path));
  const paths = { ...diff.paths };
  for (const path of ways) paths[path] = path.startsWith("hosts") ? "add-replace" : "delete-replace";
  return { changes: true, replaces: ways, paths };
}
