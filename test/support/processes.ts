/** Who started whom, of this machine's processes. */
import { readdirSync, readFileSync } from "node:fs";

/** Of stat(5) in proc(5): the parent's pid, of each process. */
export function parents(): Map<number, number> {
  const found = new Map<number, number>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      found.set(Number(pid), Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]));
    } catch {
      // ended meanwhile
    }
  }
  return found;
}

export function descendants(root: number): number[] {
  const all = [...parents()];
  const below = (pid: number): number[] =>
    all.filter(([, parent]) => parent === pid).flatMap(([child]) => [child, ...below(child)]);
  return below(root);
}
