/** Takes a fleet's resource off its hosts: off all of them, or off those that left. */
import { EbpfError } from "../../errors";
import { parseSpecId } from "../../protocol/spec-id";
import type { Tools } from "../apply";
import { during } from "../call";
import { describe, forgotten, isUnreachable, withWaysOut } from "../describe";
import { FleetSessions } from "./sessions";
import type { FleetState } from "./state";
import { hostsText, inputsFor, type Member, membersOf, namesOf, type Target } from "./targets";

export interface Left {
  member: Member;
  /** What it still holds, where it failed. */
  target: Target;
  failure?: EbpfError;
}

/** All are tried again by the next delete: what is not there is deleted. */
export async function deleteFleet(tools: Tools, state: FleetState): Promise<void> {
  const members = membersOf(state.hosts).filter(({ name }) => state.targets[name] !== undefined);
  const left = await removeFrom(tools, state, members, false);
  const failures = left.flatMap(({ failure }) => (failure === undefined ? [] : [failure]));
  const [first] = failures;
  if (first === undefined) return;
  const { name } = parseSpecId(state.specId);
  const text = `delete ${name}: ${failures.length} of ${hostsText(members.length)} failed, the others hold it no more`;
  const lines = [text, ...failures.map(({ message }) => `  ${message}`)];
  throw new EbpfError(first.code, lines.join("\n"), first.details, { cause: first });
}

/** Hosts that are in the fleet no more. What others still refer to goes with the last of those. */
export async function leave(tools: Tools, state: FleetState, members: Member[]): Promise<Left[]> {
  if (members.length === 0) return [];
  tools.call.report(
    `${parseSpecId(state.specId).name}: leaves ${hostsText(members.length)}: ${namesOf(members)}`,
  );
  return removeFrom(tools, state, members, true);
}

async function removeFrom(
  tools: Tools,
  state: FleetState,
  members: Member[],
  whenUnused: boolean,
): Promise<Left[]> {
  const sessions = new FleetSessions(tools);
  const { call } = tools;
  const { name } = parseSpecId(state.specId);
  const left = await sessions.each(members, async (member): Promise<Left> => {
    const target = state.targets[member.name]!;
    try {
      const session = await sessions.open(inputsFor(member, state));
      const params = {
        id: state.specId,
        incarnation: target.incarnation,
        ...(whenUnused ? { whenUnused } : {}),
      };
      const { removed, reason } = await session.call("remove", params, during(call));
      if (!removed && reason !== undefined) call.report(`${name}: on ${member.name}: ${reason}`);
      return { member, target };
    } catch (thrown) {
      const error = EbpfError.from(thrown);
      if (state.onUnreachable === "forget" && isUnreachable(error)) {
        call.report(forgotten(state, member.name, error), "warning");
        return { member, target };
      }
      const why = describe(withWaysOut(error, "delete"), { host: member.name });
      const failure = new EbpfError(error.code, why, error.details, { cause: error });
      const drift = [`did not leave: ${error.message}`];
      return { member, target: { ...target, reachable: !isUnreachable(error), drift }, failure };
    }
  });
  sessions.release(membersOf(state.hosts).length);
  return left;
}
