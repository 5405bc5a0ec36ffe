/** In which order the hosts of a fleet change, and how many failures a rollout puts up with. Pure. */
import type { Rollout } from "../../resources/fleet";

/** `"25%"` of all, rounded up; a plain number as it is. */
export function amountOf(amount: number | string, total: number): number {
  if (typeof amount === "number") return amount;
  return Math.ceil((Number(amount.slice(0, -1)) / 100) * total);
}

export interface Wave<Host> {
  hosts: Host[];
  canary: boolean;
}

/** `total`: all hosts of the fleet, of which shares are taken; `hosts`: those that change, in their order. */
export function wavesOf<Host>(hosts: readonly Host[], total: number, rollout: Rollout = {}): Wave<Host>[] {
  const { canary = 0, waveSize } = rollout;
  const first = amountOf(canary, total);
  const size = waveSize === undefined ? hosts.length : Math.max(1, amountOf(waveSize, total));
  const waves: Wave<Host>[] =
    first > 0 && hosts.length > 0 ? [{ hosts: hosts.slice(0, first), canary: true }] : [];
  for (let at = first; at < hosts.length; at += size) {
    waves.push({ hosts: hosts.slice(at, at + size), canary: false });
  }
  return waves;
}

/** Whether `onFailure` must act: so many have failed in this wave, so many in all. */
export function isTooMany(
  failed: { inWave: number; inAll: number },
  canary: boolean,
  total: number,
  { maxUnavailable = 0 }: Rollout = {},
): boolean {
  return canary ? failed.inWave > 0 : failed.inAll > amountOf(maxUnavailable, total);
}
