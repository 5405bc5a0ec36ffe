/**
 * What a test needs of a host, whatever it is made of: a network-namespace host (netns-host.ts) or a
 * virtual machine (../vm/machine/vm.ts). A scenario written against these interfaces runs on both.
 *
 * Owns: the interfaces. Does not own: how hosts are made, traffic (traffic.ts).
 */
import { type CommandOptions, type CommandResult } from "./command.js";

/** The shape of @pulumi/command's `connection`. */
export interface Connection {
  host: string;
  port: number;
  user: string;
  /** OpenSSH private key, PEM text. */
  privateKey?: string;
  password?: string;
  /** One line as in authorized_keys: `ssh-ed25519 AAAA…`. */
  hostKey?: string;
  proxy?: Connection;
}

/** A place to run commands and to send traffic from. */
export interface TestClient {
  /** Name for messages. */
  readonly name: string;
  /** IPv4 address on the data path. */
  readonly address: string;
  /** IPv6 address on the data path. */
  readonly address6: string;
  /** After how many seconds without an answer a packet counts as dropped, where it is slow. Default 1.5. */
  readonly patience?: number;
  exec(command: string[], options?: CommandOptions): Promise<CommandResult>;
  /** Makes an executable of this machine available there; resolves to its path. */
  install(file: string): Promise<string>;
  /** The command line that `exec` runs, for callers that spawn it themselves. */
  command(command: string[]): string[];
}

/**
 * A Linux host reached by SSH. SSH comes in over an interface of its own, `mgmt0`; the data path is `eth0`, so
 * a program on `eth0` that drops everything does not cut the connection.
 */
export interface TestHost extends TestClient {
  readonly connection: Connection;
  /** Private key file of the login. */
  readonly identityFile: string;
  /** known_hosts file with this host's key. */
  readonly knownHostsFile: string;
  /** The interface of the data path, for attachments: `eth0`. */
  readonly dataInterface: string;
  /** `bpftool -j …` on the host, parsed: the second path that tests verify by. */
  bpftool<T>(...args: string[]): Promise<T>;
  /** `ip -j …` on the host, parsed. */
  ip<T>(...args: string[]): Promise<T>;
  /** A veth pair more on the host, both ends up; its name is `name`. */
  addInterface(name: string): Promise<void>;
  removeInterface(name: string): Promise<void>;
  /** The data path anew, after `removeInterface("eth0")`. */
  plugDataInterface(): Promise<void>;
}

/** A host with a client that reaches its `eth0`. */
export interface TestSite {
  readonly client: TestClient;
  host(): TestHost;
  /** Ends and removes it all. */
  destroy(): Promise<void>;
}
