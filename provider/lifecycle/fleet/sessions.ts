/** The sessions of one operation on a fleet: so many hosts at once, and none kept that nobody needs any more. */
import type { CommonInputs } from "../../resources/resource";
import type { AgentSession } from "../../transport/session";
import { Slots } from "../../transport/dial-limits";
import type { Tools } from "../apply";

/** The pool keeps as many alive: with more at once, hosts would take each other's sessions away between two calls. */
export const PARALLEL_HOSTS = 64;

/** Of all fleets in this process. */
const slots = new Slots(PARALLEL_HOSTS);

export class FleetSessions {
  private readonly opened = new Set<AgentSession>();

  constructor(private readonly tools: Tools) {}

  readonly open = async (inputs: CommonInputs): Promise<AgentSession> => {
    const session = await this.tools.open(inputs);
    this.opened.add(session);
    return session;
  };

  /** Does something for each host, in parallel; the outcomes are in the order of the hosts. */
  each<Host, Outcome>(hosts: readonly Host[], work: (host: Host) => Promise<Outcome>): Promise<Outcome[]> {
    return Promise.all(hosts.map((host) => slots.run(() => work(host))));
  }

  /** Of a wave that is over. Where all hosts of the fleet fit, the next resource of the fleet finds them open. */
  release(hostsOfFleet: number): void {
    if (hostsOfFleet <= PARALLEL_HOSTS) return;
    for (const session of this.opened) session.release();
    this.opened.clear();
  }
}
