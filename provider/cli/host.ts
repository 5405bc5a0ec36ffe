/** The host that a command asks. */
import { openSession } from "../transport/pool";
import type { AgentSession } from "../transport/session";
import type { Invocation } from "./command";

/** Somebody waits in front of the screen: one dial, not ten. */
const DIAL_SECONDS = 10;

/** For a command whose first operand is HOST. */
export function openHost({ connection, report }: Invocation): Promise<AgentSession> {
  return openSession(connection!, { singleDialSeconds: DIAL_SECONDS, onProgress: report });
}
