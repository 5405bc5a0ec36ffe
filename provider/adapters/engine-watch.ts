/**
 * Ends an orphaned provider process. When the engine is killed, the provider lives on and would finish a create that
 * no state will ever know of.
 */
import { connect } from "node:net";

const POLL_MS = 1000;
const REFUSALS = 2;

/** `address` is the engine's `host:port`. Keeps no process alive by itself. */
export function watchEngine(address: string, onGone: () => void): void {
  const [, host, port] = /^(.+):(\d+)$/.exec(address) ?? [];
  if (host === undefined) return;
  let refusals = 0;
  const timer = setInterval(() => {
    const socket = connect({ host, port: Number(port), timeout: POLL_MS });
    socket.unref();
    socket.once("connect", () => {
      refusals = 0;
      socket.destroy();
    });
    socket.once("timeout", () => socket.destroy());
    socket.once("error", () => {
      if (++refusals < REFUSALS) return;
      clearInterval(timer);
      onGone();
    });
  }, POLL_MS);
  timer.unref();
}
