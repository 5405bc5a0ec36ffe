/**
 * Lists as text, one item a line, in content-defined chunks: rules and networks from the program, networks from a file.
 * What check cut serves create and update of the same process, which then neither read nor cut again.
 */
import { digestOf } from "../protocol/spec";
import { cutChunks, hashLines } from "./chunks";
import { fileProblem, findFile, readFile } from "./file";
import { made, once } from "./kept";
import { readNetworks } from "./networks";
import { Problems } from "./problems";
import type { LinesRequest, LinesSource, NetworksRequest } from "./source";

/** Some 64 KB: what a change of one line makes new. */
const LINES_PER_CHUNK = { rules: 512, networks: 4096 };

type Cut = Omit<LinesSource, "property">;

export async function openLines({ property, what, lines, manifest }: LinesRequest): Promise<LinesSource> {
  const present = manifest === undefined ? undefined : made<Cut>(manifest);
  if (present !== undefined) return { ...(await present), property };
  const ended = lines().map((line) => `${line}\n`);
  const cut = cutLines(Buffer.from(ended.join("")), LINES_PER_CHUNK[what]);
  return { ...(await once(cut.manifest, async () => cut)), property };
}

/** Fails with `invalid` that names lines: what is no network, more of them than a set holds. */
export async function openNetworks({ property, file: given, most }: NetworksRequest): Promise<LinesSource> {
  const file = await findFile(property, given);
  const cut = await once(digestOf([file.path, file.stamp]), async () => {
    const problems = new Problems(file.name);
    const networks = readNetworks(await readFile(property, file), (line, reason) =>
      problems.add(property, `line ${line}: ${reason}`),
    );
    if (problems.any) throw problems.error(`read ${file.name}`, property);
    return cutLines(networks, LINES_PER_CHUNK.networks);
  });
  if (cut.count > most) throw fileProblem(property, given, `${cut.count} networks are more than ${most}`);
  return { ...cut, property };
}

/** Each line ends in `\n`. */
function cutLines(bytes: Buffer, perChunk: number): Cut {
  const { hashes, ends } = hashLines(bytes);
  const count = ends.length;
  const { manifest, blobs } = cutChunks({ bytes, count, hashes, endOf: (line) => ends[line]!, perChunk });
  return { kind: "lines", manifest, count, blobs: () => blobs };
}
