/** What a way to a host has to give: commands with their streams. Implemented by ssh2.ts, openssh.ts, local.ts. */
import type { Duplex, Readable } from "node:stream";

/** A command that runs on the host. */
export interface RemoteCommand {
  /** Its standard input and output. */
  readonly stdio: Duplex;
  readonly stderr: Readable;
  /** Resolves once the command is over: in words, e.g. `exit status 1`. */
  readonly ended: Promise<string>;
}

export interface Line {
  /** Runs a command line in the login's shell. Fails with code `transport`, phase `exec` or `closed`. */
  exec(command: string): Promise<RemoteCommand>;
  /** Ends the line and all its commands. */
  close(): void;
}

export interface DialOptions {
  signal?: AbortSignal;
  /** Dials before giving up; Infinity is no limit. */
  dialErrorLimit: number;
  /** Of one dial, in ms. */
  dialTimeout: number;
  /** Share no connection, at no hop. */
  anew?: boolean;
  onProgress?: (message: string) => void;
}
