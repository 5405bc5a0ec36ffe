/** What ebpf.Host needs of the provider's side: loaded only where there is a Host. */
import * as pulumi from "@pulumi/pulumi";
import { EbpfError, type Problem } from "../../provider/errors";
import { readSettings, withCredentials } from "../../provider/lifecycle/credentials";
import type { HostFeatures } from "../../provider/protocol/messages";
import { bundleDirectory } from "../../provider/transport/archive";
import { AGENT_ROOT } from "../../provider/transport/bootstrap";
import { Bundles, type Variant } from "../../provider/transport/bundle";
import { type CommandConnection, commandConnection } from "../../provider/transport/command-connection";
import type { Connection } from "../../provider/transport/connection";
import { asRoot, checkScript, hostScript, type HostSetup } from "../../provider/transport/host-setup";
import type { Architecture } from "../../provider/transport/packages";
import { SessionPool } from "../../provider/transport/pool";
import { programError } from "./mode";

export { checkScript };
export const checkCommand = "sh -s";
export const installCommand = asRoot("install");
export const uninstallCommand = asRoot("uninstall");
export const restoreCommand = `node ${AGENT_ROOT}/<digest>/agent.js restore`;

const LOOK_SECONDS = 5;

/** What of the bundle a host needs, and where it is. */
export interface NeededBundle {
  digest: string;
  /** On the host. */
  path: string;
  /** On this machine. */
  directory: string;
  /** Below the login's home. */
  upload: string;
  architecture: Architecture;
  variant: Variant;
}

/** What of the Host's arguments concerns the machine. */
export type Wishes = Pick<HostSetup, "restoreAtBoot" | "coverNewInterfaces" | "serviceUser"> & {
  sysctls: Record<string, string | number>;
};

let loaded: Promise<Bundles> | undefined;

/** Fails as a program does. */
export async function resolveConnection(connection: Connection): Promise<CommandConnection> {
  return commandConnection(connection).catch(failed);
}

/** `text` is what checkScript prints. */
export async function bundleFor(text: string): Promise<NeededBundle> {
  const [architecture, variant] = text.trim().split(/\s+/).slice(-2) as [Architecture, Variant];
  try {
    const bundles = await (loaded ??= Bundles.load());
    const { digest } = bundles.get(architecture, variant);
    const directory = await bundleDirectory(bundles, architecture, variant);
    const [path, upload] = [`${AGENT_ROOT}/${digest}`, `.pulumi-ebpf-${digest}`];
    return { digest, path, directory, upload, architecture, variant };
  } catch (error) {
    return failed(error);
  }
}

export async function installScript(
  { architecture, variant, upload }: NeededBundle,
  wishes: Wishes,
): Promise<string> {
  const sysctls = Object.fromEntries(
    Object.entries(wishes.sysctls).map(([name, value]) => [name, String(value)]),
  );
  const setup = { ...wishes, sysctls };
  const problems = problemsOf(setup);
  if (problems.length > 0) {
    throw programError(problems.map(({ property, reason }) => `${property}: ${reason}`).join("\n"));
  }
  const bundle = (await (loaded ??= Bundles.load())).get(architecture, variant);
  return hostScript({ ...setup, upload, variant, bundle });
}

/** They become shell text and lines of files. */
function problemsOf(setup: Omit<HostSetup, "upload" | "variant" | "bundle">): Problem[] {
  const { sysctls, serviceUser, restoreAtBoot, coverNewInterfaces } = setup;
  const problems: Problem[] = [];
  if (coverNewInterfaces && !restoreAtBoot) {
    const reason = "needs restoreAtBoot: at boot all interfaces are new";
    problems.push({ property: "coverNewInterfaces", reason });
  }
  for (const [name, value] of Object.entries(sysctls)) {
    if (!/^[a-z0-9_-]+(\.[a-zA-Z0-9_-]+)+$/.test(name)) {
      problems.push({
        property: `sysctls["${name}"]`,
        reason: 'expected a name such as "net.core.bpf_jit_harden"',
      });
    }
    if (/[\n\r]/.test(value) || value === "") {
      problems.push({ property: `sysctls["${name}"]`, reason: "expected one line" });
    }
  }
  if (serviceUser === undefined) return problems;
  const { name, authorizedKeys } = serviceUser;
  if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(name) || name === "root") {
    problems.push({ property: "serviceUser.name", reason: 'expected a login name such as "ebpf", not root' });
  }
  if (authorizedKeys.length === 0 || authorizedKeys.some((key) => key.trim() === "" || /[\n\r]/.test(key))) {
    const reason = "expected public keys, one line each";
    problems.push({ property: "serviceUser.authorizedKeys", reason });
  }
  return problems;
}

/** From what the installation printed last. */
export function readReport(text: string): { boot: string; interfaces: string; features: HostFeatures } {
  const find = (word: string): string => new RegExp(`^${word} (.*)$`, "m").exec(text)?.[1] ?? "";
  return {
    boot: find("boot"),
    interfaces: find("interfaces"),
    features: JSON.parse(find("features")) as HostFeatures,
  };
}

/**
 * The host as it is now. Opening the session verifies the agent, and repairs it where somebody changed it. A host
 * that does not answer is a `problem`, not an error: what is known of it serves until it is back.
 */
export async function lookAt(connection: Connection): Promise<{ seen?: HostFeatures; problem?: string }> {
  const config = new pulumi.Config("ebpf");
  const settings = readSettings((key) => config.get(key.replace(/^ebpf:/, "")), process.env);
  if (settings.preview === "offline" && pulumi.runtime.isDryRun()) return {};
  const pool = new SessionPool();
  try {
    const session = await pool.open(withCredentials(connection, settings), {
      singleDialSeconds: LOOK_SECONDS,
    });
    return { seen: await session.call("probe", {}) };
  } catch (error) {
    return { problem: EbpfError.from(error).render() };
  } finally {
    pool.closeAll(); // an open connection would keep the program alive
  }
}

/** Without a stack: it is about the program's data. */
function failed(error: unknown): never {
  throw programError(EbpfError.from(error).render());
}
