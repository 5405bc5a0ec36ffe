/** The eBPF program that judges, from the agent's own bundle: so that it always fits the compiler beside it. */
import fs from "node:fs";
import path from "node:path";
import { type ComparableShape, type ObjectInfo, readObject } from "../../btf";
import { digestOf, type GlobalValue, type MapShape } from "../../protocol/spec";

const FILE = "network-policy.bpf.o";
/** Beside the bundle's main.js; in a working copy where `npm run build` puts it. */
const PLACES = [
  path.join(__dirname, FILE),
  path.join(path.dirname(process.argv[1] ?? "."), FILE),
  path.join(__dirname, "../../../dist/provider/modules/network-policy", FILE),
];

export interface PolicyProgram {
  fileName: string;
  bytes: Buffer;
  digest: string;
  info: ObjectInfo;
}

let known: PolicyProgram | undefined;

export function policyProgram(): PolicyProgram {
  if (known !== undefined) return known;
  const bytes = fs.readFileSync(PLACES.find((place) => fs.existsSync(place)) ?? PLACES[0]!);
  return (known = { fileName: FILE, bytes, digest: digestOf(bytes), info: readObject(bytes) });
}

/** Of a global variable, little endian in its own width. */
export function globalValue(name: string, value: number): GlobalValue {
  const { section, offset, size } = policyProgram().info.globals[name]!;
  const bytes = Buffer.alloc(size);
  bytes.writeUIntLE(value, 0, size);
  return { name, section, offset, bytes: bytes.toString("base64") };
}

/** Of a map that the program defines, to be declared on its own. */
export function mapShape(name: string, maxEntries?: number): MapShape {
  const shape = plain(policyProgram().info.maps[name]!);
  return maxEntries === undefined ? shape : { ...shape, maxEntries };
}

function plain({ type, keySize, valueSize, maxEntries, flags, inner }: ComparableShape): MapShape {
  return {
    ...{ type, keySize, valueSize, maxEntries, flags },
    ...(inner === undefined ? {} : { inner: plain(inner) }),
  };
}
