/** Several hosts for tests of fleets, by their names. */
import assert from "node:assert/strict";
import { createLifecycle, type Lifecycle, type Properties, readSettings } from "../../../provider/lifecycle";
import { definitions } from "../../../provider/resources";
import { openSources } from "../../../provider/sources";
import { attachmentInputs, Host } from "./host";

export class Hosts {
  readonly all = new Map<string, Host>();
  readonly reports: string[] = [];
  /** Hosts whose apply runs now; the most at once. */
  readonly applied: string[] = [];

  constructor(names: readonly string[]) {
    for (const name of names) this.add(name);
  }

  add(name: string): Host {
    const host = new Host();
    this.all.set(name, host);
    return host;
  }

  host(name: string): Host {
    const host = this.all.get(name);
    if (host === undefined) throw new Error(`there is no host ${name}`);
    return host;
  }

  lifecycle(config: Record<string, string> = { "ebpf:preview": "offline" }): Lifecycle {
    return createLifecycle({
      definitions,
      openSession: async (connection, options) => {
        const session = this.host(connection.host).open(connection, options);
        const call: typeof session.call = async (verb, params, options) => {
          if (verb === "apply") this.applied.push(connection.host);
          return session.call(verb, params, options);
        };
        return { ...session, call };
      },
      openSources,
      settings: readSettings((key) => config[key], {}),
      report: (message, severity) =>
        this.reports.push(severity === "warning" ? `warning: ${message}` : message),
    });
  }

  /** Names of those that hold a record of the Spec, with the interface that it is attached to. */
  holding(specId = "shop/prod/Attachment/web"): Record<string, string> {
    const found: Record<string, string> = {};
    for (const [name, { records }] of this.all) {
      const hook = records.get(specId)?.spec.links[0]?.hook;
      if (hook !== undefined && "interface" in hook) found[name] = hook.interface;
    }
    return found;
  }
}

/** Inputs of an Attachment on a fleet, as the SDK sends them. */
export function fleetInputs(
  names: readonly string[],
  change: { rollout?: Properties; interface?: string } & Properties = {},
): Properties {
  const { rollout, interface: device = "eth0", ...rest } = change;
  const { connection: _connection, ...inputs } = attachmentInputs({ xdp: { interface: device } });
  const hosts = names.map((host) => ({ connection: { host, user: "deploy" } }));
  return { ...inputs, hosts: { hosts, ...(rollout === undefined ? {} : { rollout }) }, ...rest };
}

/** Of an Attachment that a check finds nothing wrong with. */
export async function checkedInputs(
  lifecycle: Lifecycle,
  news: Properties,
  olds?: Properties,
): Promise<Properties> {
  const { inputs, failures } = await lifecycle.check("Attachment", olds, news);
  assert.deepEqual(failures, []);
  return inputs;
}
