/**
 * Functions in the program's own process, for dynamic mode, where the engine has no provider to ask. Loaded by the first
 * call: a program without functions has no transport in its process.
 */
import { EbpfError } from "../../provider/errors";
import { runFunction } from "../../provider/functions";
import { readSettings, type Settings } from "../../provider/lifecycle";
import { withCredentials } from "../../provider/lifecycle/credentials";
import { openSources } from "../../provider/sources";
import type { Connection } from "../../provider/transport/connection";
import { SessionPool } from "../../provider/transport/pool";

/** Of its own: what ends here ends nobody else's session. */
const pool = new SessionPool();
let calls = 0;

/** One call often follows another; an open session would keep the program from ending. */
const LINGER_MS = 250;

export interface Surroundings {
  /** Stack configuration by full key, `ebpf:preview`. */
  config(key: string): string | undefined;
  /** For calls that give none. */
  connection: unknown;
}

/** Fails with an Error whose message is all that the user needs. */
export async function runInThisProcess(
  name: string,
  args: Record<string, unknown>,
  { config, connection }: Surroundings,
): Promise<Record<string, unknown>> {
  calls++;
  try {
    const settings: Settings = readSettings(config, process.env);
    const { outputs } = await runFunction(name, args, {
      openSources,
      async open(given = connection as Connection | undefined) {
        if (given === undefined) throw withoutHost(name);
        return pool.open(withCredentials(given, settings));
      },
    });
    return outputs;
  } catch (thrown) {
    throw new Error(EbpfError.from(thrown).render());
  } finally {
    if (--calls === 0) setTimeout(() => calls === 0 && pool.closeAll(), LINGER_MS).unref();
  }
}

function withoutHost(name: string): EbpfError {
  return new EbpfError(
    "invalid",
    `call ${name}: it has no connection`,
    {},
    { property: "connection", remedy: "give one, or set `ebpf:connection`; of a fleet, that of one host" },
  );
}
