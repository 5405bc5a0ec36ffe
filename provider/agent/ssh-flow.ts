/**
 * The TCP connection that a session runs over, as this host sees it: what a network policy must not cut.
 *
 * sshd says it to the login by SSH_CONNECTION (session.c, do_setup_env), which sudo drops; so the start script reads it
 * before, and the operator's side hands it over with its greeting. It counts if the kernel has such a socket: what was
 * inherited from a login that is over (tmux, a service) is none.
 */
import fs from "node:fs";
import { formatAddress, parseAddress } from "../btf/addresses";
import type { SshFlow } from "../protocol/messages";

/** One line a socket: proc_net_tcp.rst of the kernel's documentation. */
const SOCKETS = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
const ESTABLISHED = "01";
const MAPPED = Buffer.from("00000000000000000000ffff", "hex");

/** `null`: the session runs over no SSH, or not any more. `sshConnection`: as in the environment, `peer port local port`. */
export function sshFlow(sshConnection: string, sockets: readonly string[] = SOCKETS): SshFlow | null {
  const [peer, peerPort, local, localPort] = sshConnection.split(" ");
  const ends = [endpoint(local, localPort), endpoint(peer, peerPort)] as const;
  if (ends[0] === null || ends[1] === null) return null;
  const wanted = ends.map((end) => `${mapped(end!.address).toString("hex")}:${end!.port}`).join(" ");
  const found = sockets.some((file) =>
    fs
      .readFileSync(file, "utf8")
      .split("\n")
      .some((line) => connectionOf(line) === wanted),
  );
  return found ? { local: textOf(ends[0]), peer: textOf(ends[1]) } : null;
}

interface Endpoint {
  /** 4 or 16 bytes. */
  address: Buffer;
  port: number;
}

function endpoint(text = "", port = ""): Endpoint | null {
  // a link-local address comes with its zone
  const [host = ""] = text.split("%");
  const address = parseAddress(host, host.includes(":") ? 16 : 4);
  return address === undefined || !/^\d{1,5}$/.test(port) ? null : { address, port: Number(port) };
}

function textOf({ address, port }: Endpoint): SshFlow["peer"] {
  return { address: formatAddress(address), port };
}

/** A socket that takes both families has IPv4 as ::ffff:a.b.c.d. */
function mapped(address: Buffer): Buffer {
  return address.length === 16 ? address : Buffer.concat([MAPPED, address]);
}

/** `<local> <peer>` of an established socket, else undefined. Addresses are 32-bit words in the machine's order: little. */
function connectionOf(line: string): string | undefined {
  const [, local, peer, state] = line.trim().split(/\s+/);
  if (state !== ESTABLISHED || local === undefined || peer === undefined) return undefined;
  return [local, peer]
    .map((end) => {
      const [words = "", port = ""] = end.split(":");
      return `${mapped(Buffer.from(words, "hex").swap32()).toString("hex")}:${parseInt(port, 16)}`;
    })
    .join(" ");
}
