/** This machine as a host, without SSH. */
import { runChild } from "./child-process";
import type { Line } from "./line";

export function openLocal(host: string): Line {
  const running = new Set<() => void>();
  return {
    exec: async (command) => {
      const child = await runChild("sh", ["-c", command], host);
      running.add(child.kill);
      void child.ended.then(() => running.delete(child.kill));
      return child;
    },
    close: () => running.forEach((kill) => kill()),
  };
}
