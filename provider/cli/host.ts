/** The hosts that a command asks. */
import { openSession } from "../transport/pool";
import type { AgentSession } from "../transport/session";
import type { Invocation } from "./command";

/** Somebody waits in front of the screen: one dial, not ten. */
const DIAL_SECONDS = 10;

/** For a command whose first operand is HOST. */
export async function openHost(invocation: Invocation): Promise<AgentSession> {
  const [session] = await openHosts(invocation);
  return session!;
}

/** For one that takes several, all at once. */
export function openHosts({ connections, report }: Invocation): Promise<AgentSession[]> {
  const options = { singleDialSeconds: DIAL_SECONDS, onProgress: report };
  return Promise.all(connections.map((connection) => openSession(connection, options)));
}
