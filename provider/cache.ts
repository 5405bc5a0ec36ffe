/** Where the operator's side keeps what it can make or fetch again: compiled objects, npm packages, configurations. */
import { homedir } from "node:os";
import { join } from "node:path";

/** `${XDG_CACHE_HOME:-~/.cache}/pulumi-ebpf/<part>`; it may be deleted at any time. */
export function cacheDirectory(part: string): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "pulumi-ebpf", part);
}
