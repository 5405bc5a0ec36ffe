/** Values of per-CPU maps: one per possible CPU, each rounded up to 8 bytes, as the kernel copies them. */
import { EbpfError, invalid, type Problem } from "../errors";
import { decode } from "./decode";
import { encodeInto } from "./encode";
import { type TypeLayout, typeName } from "./layout";

/** Bytes of one CPU's value in a lookup or update; `round_up(value_size, 8)` of the kernel. */
export function perCpuStride(size: number): number {
  return Math.ceil(size / 8) * 8;
}

/** The values of `{ perCpu: [v0, v1, …] }`; undefined for a value that is the same for all CPUs. */
export function perCpuValues(json: unknown): unknown[] | undefined {
  if (json === null || typeof json !== "object" || Object.keys(json).join() !== "perCpu") return undefined;
  const { perCpu } = json as { perCpu: unknown };
  return Array.isArray(perCpu) ? perCpu : undefined;
}

/**
 * `{ perCpu: [v0, v1, …] }` with one value per possible CPU (/sys/devices/system/cpu/possible), or one value for all.
 * Fails with EbpfError `invalid` that lists every problem.
 */
export function encodePerCpu(layout: TypeLayout, json: unknown, cpus: number, path = "value"): Buffer {
  const problems: Problem[] = [];
  const values = perCpuValues(json);
  const stride = perCpuStride(layout.size);
  const out = Buffer.alloc(stride * cpus);
  if (values === undefined) {
    const one = encodeInto(layout, json, path, problems);
    for (let cpu = 0; cpu < cpus; cpu++) one.copy(out, cpu * stride);
  } else if (values.length === cpus) {
    for (const [cpu, value] of values.entries()) {
      encodeInto(layout, value, `${path}.perCpu[${cpu}]`, problems).copy(out, cpu * stride);
    }
  } else {
    problems.push({
      property: `${path}.perCpu`,
      reason: `has ${values.length} values, the host has ${cpus} possible CPUs`,
    });
  }
  if (problems.length > 0) throw invalid(`encode ${path} as ${typeName(layout)} per CPU`, problems);
  return out;
}

/** `{ perCpu: [v0, v1, …] }`. Fails with EbpfError `invalid` for too few bytes. */
export function decodePerCpu(layout: TypeLayout, bytes: Uint8Array, cpus: number): { perCpu: unknown[] } {
  const stride = perCpuStride(layout.size);
  if (bytes.length < stride * cpus) {
    throw new EbpfError(
      "invalid",
      `decode ${typeName(layout)} of ${cpus} CPUs: expected ${stride * cpus} bytes, got ${bytes.length}`,
      {},
    );
  }
  return {
    perCpu: Array.from({ length: cpus }, (_, cpu) => decode(layout, bytes.subarray(cpu * stride))),
  };
}
