import type { remote, types } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import type { HostFeatures } from "../../provider/protocol/messages";
import type { CommandConnection } from "../../provider/transport/command-connection";
import type { Connection } from "../../provider/transport/connection";
import type { ServiceUser } from "../../provider/transport/host-setup";
import { type ConnectionArgs, plainOrApply, protectCredentials } from "./connection";
import type * as hostSetup from "./host-setup";
import { programError } from "./mode";

export interface HostArgs {
  /**
   * How the host is reached; ssh2 only. Its `hostKey` may be left out when known_hosts has it: it is then taken from
   * there, since @pulumi/command would trust any host without. Its `dialErrorLimit` says how long a machine that boots
   * is waited for. Default 30 dials.
   */
  connection: pulumi.Input<ConnectionArgs>;
  /**
   * Programs, maps and attachments come back at boot, by a systemd unit. On a host without systemd it is a warning, and
   * `restoresAtBoot` is false. Default `true`.
   */
  restoreAtBoot?: pulumi.Input<boolean>;
  /**
   * Interfaces that come later and match `interfaces` of a NetworkPolicy are judged by it, by a udev rule and systemd
   * units: of the host's own network namespace, a moment after they came. Needs `restoreAtBoot`. Without udev it is a
   * warning, and `coversNewInterfaces` is false. Default `false`.
   */
  coverNewInterfaces?: pulumi.Input<boolean>;
  /** Kernel settings, as in sysctl.conf; deleting the host puts back what was. Example: `{ "net.core.bpf_jit_harden": 1 }`. */
  sysctls?: pulumi.Input<Record<string, pulumi.Input<string | number>>>;
  /**
   * A login that may start the agent as root and nothing else: give it to the connections of other resources, and
   * order them behind the host by `dependsOn`. Default: none.
   */
  serviceUser?: pulumi.Input<ServiceUserArgs>;
}

export interface ServiceUserArgs {
  /** Name of the login. It is made if it is not there, and then goes with the host. Example: `"ebpf"`. */
  name: pulumi.Input<string>;
  /** Lines of its authorized_keys. Example: `["ssh-ed25519 AAAA…"]`. */
  authorizedKeys: pulumi.Input<pulumi.Input<string>[]>;
}

/** The agent that the host was given. */
export interface HostAgent {
  /** sha256 that names it. */
  digest: string;
  /** Directory on the host. */
  path: string;
}

/** A machine that boots takes its time. */
const DIAL_ERROR_LIMIT = 30;

/**
 * A bare machine made a durable eBPF host, by way of @pulumi/command (`npm install @pulumi/command@1.2.1`): waits for
 * SSH, installs the agent where every resource looks for it, and lets what runs come back at boot. Other resources work
 * without it, since they deliver the agent themselves; it is for what they do not do.
 *
 * Deleting it removes all that pulumi-ebpf has on the machine, and is refused while resources are there that other stacks
 * have, or that were dropped from a state. One stack has the Host of a machine.
 *
 * ```ts
 * const edge = new ebpf.Host("edge-1", { connection, sysctls: { "net.core.bpf_jit_harden": 1 } });
 * const filter = new ebpf.Program("filter", { connection: edge.connection, source: "./bpf/filter.bpf.c" });
 * export const kernel = edge.features.kernel;
 * ```
 */
export class Host extends pulumi.ComponentResource {
  /** The argument, as known in preview as it is. What takes it is created after the host, and deleted before. */
  readonly connection: pulumi.Input<ConnectionArgs>;
  /** What the host can, as the agent found it. Looked at in each run; when the host does not answer, as it was last seen. */
  readonly features: pulumi.Output<HostFeatures>;
  readonly agent: pulumi.Output<HostAgent>;
  /** Whether a systemd unit brings everything back at boot. */
  readonly restoresAtBoot: pulumi.Output<boolean>;
  /** Whether policies judge interfaces that come later. */
  readonly coversNewInterfaces: pulumi.Output<boolean>;

  /** Fails with a RunError without @pulumi/command, and in preview for a connection that it cannot take. */
  constructor(name: string, args: HostArgs, options: pulumi.ComponentResourceOptions = {}) {
    super("ebpf:index:Host", name, {}, options);
    const command = commandPackage();
    // not with the program's start: few programs have a Host, and ssh2 takes its time to load
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const setup = require("./host-setup") as typeof hostSetup;
    const child = { parent: this };
    const own = pulumi.output(protectCredentials(args.connection)) as pulumi.Output<Connection>;
    const connection = own.apply((known) => setup.resolveConnection(known)).apply(withPatience);

    const check = new command.Command(
      `${name}-check`,
      { connection, create: setup.checkCommand, stdin: setup.checkScript, logging: "none" },
      child,
    );
    const needed = check.stdout.apply((text) => setup.bundleFor(text));
    const upload = new command.CopyToRemote(
      `${name}-agent`,
      {
        connection,
        source: needed.apply(({ directory }) => new pulumi.asset.FileArchive(directory)),
        remotePath: needed.apply(({ upload }) => upload),
      },
      child,
    );
    const wishes = pulumi.output({
      restoreAtBoot: args.restoreAtBoot ?? true,
      coverNewInterfaces: args.coverNewInterfaces ?? false,
      sysctls: args.sysctls ?? {},
      serviceUser: args.serviceUser as pulumi.Input<ServiceUser> | undefined,
    });
    const install = new command.Command(
      `${name}-install`,
      {
        connection,
        create: setup.installCommand,
        delete: setup.uninstallCommand,
        // an update runs `create` again; no `triggers`: a replacement would delete what it has just made
        stdin: pulumi.all([needed, wishes]).apply(([bundle, wish]) => setup.installScript(bundle, wish)),
        addPreviousOutputInEnv: false,
        logging: "none",
      },
      { ...child, dependsOn: upload },
    );

    const report = install.stdout.apply((text) => setup.readReport(text));
    // an URN is known in preview, and brings the order with it
    this.connection = plainOrApply(protectCredentials(args.connection), ({ host, ...rest }) => ({
      host: pulumi.all([host, install.urn]).apply(([address]) => address),
      ...rest,
    }));
    this.features = pulumi.all([own, report]).apply(async ([known, { features }]) => {
      const { seen, problem } = await setup.lookAt(known);
      if (problem !== undefined)
        await pulumi.log.warn(`${problem}: its features are those of the last time`, this);
      return seen ?? features;
    });
    this.agent = needed.apply(({ digest, path }) => ({ digest, path }));
    this.restoresAtBoot = pulumi.all([report, wishes]).apply(async ([{ boot }, { restoreAtBoot }]) => {
      if (restoreAtBoot && boot === "none") {
        const remedy = `let its init run \`${setup.restoreCommand}\`, or set restoreAtBoot: false`;
        await pulumi.log.warn(`the host has no systemd: nothing comes back at boot; ${remedy}`, this);
      }
      return boot === "systemd";
    });
    this.coversNewInterfaces = pulumi.all([report, wishes]).apply(async ([known, { coverNewInterfaces }]) => {
      if (coverNewInterfaces && known.interfaces === "none") {
        const text = "the host has no systemd with udev: interfaces that come later are not judged";
        await pulumi.log.warn(`${text} until the next \`pulumi up\`; set coverNewInterfaces: false`, this);
      }
      return known.interfaces === "udev";
    });
    this.registerOutputs({
      connection: this.connection,
      features: this.features,
      agent: this.agent,
      restoresAtBoot: this.restoresAtBoot,
      coversNewInterfaces: this.coversNewInterfaces,
    });
  }
}

function withPatience(connection: CommandConnection): types.input.remote.ConnectionArgs {
  return { dialErrorLimit: DIAL_ERROR_LIMIT, ...connection } as types.input.remote.ConnectionArgs;
}

/** An optional peer: only programs with a Host need it. */
function commandPackage(): typeof remote {
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    return (require("@pulumi/command") as { remote: typeof remote }).remote;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "MODULE_NOT_FOUND") throw error;
    throw programError(
      "ebpf.Host works by @pulumi/command: run `npm install --save-exact @pulumi/command@1.2.1`",
    );
  }
}
