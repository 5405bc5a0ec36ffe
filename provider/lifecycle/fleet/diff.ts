/** What differs between a fleet's state and new inputs. No I/O. */
import type { ResourceDefinition } from "../../resources/resource";
import { type Diff, diffInputs } from "../diff";
import type { Properties } from "../state";
import { UNKNOWN } from "../../resources/unknown";
import { unknownPaths } from "../unknowns";
import { type FleetInputs, hostsText, isFleet, membersOf, namesOf, type Targets, versionOf } from "./targets";

export interface FleetDiff extends Diff {
  /** What the paths do not say, for a person. */
  note?: string;
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
  if (diff.changes || unknownPaths(known).length > 0) return diff;
  const inputs = known as unknown as FleetInputs;
  const targets = olds["targets"] as Targets;
  const desired = versionOf(definition, inputs);
  const members = membersOf(inputs.hosts);
  const behind = members.filter(({ name }) => targets[name]?.digest !== desired);
  if (behind.length === 0) return diff;
  const note = `${behind.length} of ${hostsText(members.length)} do not have this version: ${namesOf(behind)}`;
  return { changes: true, replaces: [], paths: { targets: "update" }, note };
}

/** One host and many are two things with one name on the hosts: the new one adopts what the old one left. */
function replacing(diff: Diff): Diff {
  const ways = Object.keys(diff.paths).filter((path) => /^(connection|hosts)($|\.)/.test(path));
  const paths = { ...diff.paths };
  for (const path of ways) paths[path] = path.startsWith("hosts") ? "add-replace" : "delete-replace";
  return { changes: true, replaces: ways, paths };
}
