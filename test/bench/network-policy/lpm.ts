/** Fills the LPM maps of ../native/network-policy/lpm.bpf.c with the networks of a workload, and their classes. */
import { type Generation } from "../../support/compiled-union.js";
import { addressClass } from "../../../provider/network-policy/lookup.js";
import { type DataPlane } from "../../support/data-plane.js";
import { networkOf, type Workload } from "./workloads.js";

/** The rule set of ingress. */
const SET = 1;

export function fillNetworks(plane: DataPlane, workload: Workload, { cells }: Generation): void {
  const size = workload.ipv6 === true ? 4 : 1;
  const { count } = workload;
  const keys = Buffer.alloc(count * (4 + 4 * size));
  const classes = Buffer.alloc(count * 4);
  for (let i = 0; i < count; i++) {
    const { first, length } = networkOf(workload, i);
    let at = keys.writeUInt32LE(length, i * (4 + 4 * size));
    for (const word of first) at = keys.writeUInt32BE(word, at);
    const key = { words: Uint32Array.from(ownAddress(first, length, workload)), at: 0, size } as const;
    classes.writeUInt32LE(addressClass(cells, SET, key), i * 4);
  }
  plane.map(size === 4 ? "networks6" : "networks4").updateBatch(keys, classes, count);
}

/** An address of the network that is in no longer one: networks in each other have one first address. */
function ownAddress(first: number[], length: number, { name }: Workload): number[] {
  return name === "W3" ? [(first[0]! ^ (1 << (31 - length))) >>> 0] : first;
}
