/**
 * Fault injection for tests: PULUMI_EBPF_FAULT=<verb>:<action name or index>:<kill|stop|error>[:after]. The agent kills
 * or stops itself, or throws, just before (or after) the named action of the named verb.
 */
import { EbpfError } from "../../errors";

export function injectFault(verb: string, index: number, name: string, moment: "before" | "after"): void {
  const wish = process.env.PULUMI_EBPF_FAULT;
  if (wish === undefined) return;
  const [faultVerb, action, effect, when = "before"] = wish.split(":");
  if (faultVerb !== verb || when !== moment || (action !== name && action !== String(index))) return;
  if (effect === "kill") process.kill(process.pid, "SIGKILL");
  if (effect === "stop") return void process.kill(process.pid, "SIGSTOP");
  throw new EbpfError("internal", `${verb}: fault injected ${moment} action ${index} (${name})`, {});
}
