/**
 * The Pulumi program that the bench times. bench.json beside it says how many of what; with `package: "empty"` the same
 * resources with the same inputs go to a provider that does nothing, which is the floor that the engine sets.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type * as Ebpf from "pulumi-ebpf";
import type { Plan } from "../deployment.js";

const plan = JSON.parse(readFileSync("bench.json", "utf8")) as Plan & { package: string };
const ebpf = createRequire(__filename)(plan.package) as typeof Ebpf;
const { entrypoint, interfaces, object } = plan;

for (const [h, connection] of plan.hosts.entries()) {
  for (let i = 0; i < plan.programs; i++) {
    const name = `${h}-${i}`;
    const globals = { revision: i };
    const program = new ebpf.Program(`program-${name}`, {
      connection,
      source: object,
      load: [entrypoint],
      globals,
    });
    new ebpf.Attachment(`attachment-${name}`, { program: program.entrypoint(entrypoint), ...hook(i) });
    if (plan.rows === 0) continue;
    const entries = Array.from({ length: plan.rows }, (_, port) => ({ key: port + 1, value: 0 }));
    new ebpf.MapEntries(`ports-${name}`, { map: program.map("ports"), entries });
  }
  for (let i = 0; i < plan.maps; i++) {
    const shape = { type: "hash", key: "u32", value: "u64", maxEntries: 16 } as const;
    const map = new ebpf.Map(`map-${h}-${i}`, { connection, ...shape });
    new ebpf.MapEntries(`rows-${h}-${i}`, { map, entries: [{ key: i, value: h }] });
  }
}

/** XDP takes one program per interface; TCX takes 64 per direction. */
function hook(i: number): Pick<Ebpf.AttachmentArgs, "xdp" | "tcx"> {
  if (entrypoint === "drop_ports") return { xdp: { interface: interfaces[i] ?? "" } };
  const direction = i % 2 === 0 ? "ingress" : "egress";
  return { tcx: { interface: interfaces[(i >> 1) % interfaces.length] ?? "", direction } };
}
