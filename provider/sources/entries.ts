/**
 * Rows of map entries, from the program or a file, to packed records in content-defined chunks.
 * A file is encoded once per process as long as it stays the same.
 */
import { perCpuValues } from "../btf";
import { digestOf } from "../protocol/spec";
import { packBinary } from "./binary";
import { cutRecords, findDuplicates, hashKeys, type Records } from "./chunks";
import { readCsv } from "./csv";
import { findFile, readFile, type LocalFile } from "./file";
import { once } from "./kept";
import { checkKeys } from "./keys";
import { readNdjson } from "./ndjson";
import { Problems } from "./problems";
import { type Place, RowPacker } from "./rows";
import type { EntriesFormat, EntriesRequest, EntriesSource } from "./source";

/** Fails with `invalid` that names rows: what does not fit, keys given twice, more rows than the map holds. */
export async function openEntries(request: EntriesRequest): Promise<EntriesSource> {
  if (request.file === undefined) return packRows(request, request.rows ?? []);
  const { path, format } = request.file;
  const file = await findFile(request.property, path);
  return once(digestOf([file.path, file.stamp, request]), async () =>
    packFile(request, file, format, await readFile(request.property, file)),
  );
}

function packRows(request: EntriesRequest, rows: unknown[]): EntriesSource {
  const problems = new Problems();
  const cpus = request.perCpu === "each" ? Math.max(...rows.map(cpusOf), 1) : 0;
  const packer = new RowPacker(request, problems, rows.length, cpus);
  for (const [index, row] of rows.entries()) {
    const { key, value } = row as { key: unknown; value: unknown };
    packer.add(key, value, index);
  }
  return finish(request, packer.writer.records, problems, (row) => `${request.property}[${row}]`);
}

function cpusOf(row: unknown): number {
  return perCpuValues((row as { value: unknown }).value)?.length ?? 0;
}

function packFile(
  request: EntriesRequest,
  file: LocalFile,
  format: EntriesFormat,
  bytes: Buffer,
): EntriesSource {
  const problems = new Problems(file.name);
  if (format === "binary") {
    return finish(request, packBinary(request, bytes, problems), problems, (row) => `record ${row}`);
  }
  const rows = new RowPacker(request, problems, Math.min(countLines(bytes), request.maxEntries + 1), 0);
  if (format === "csv") readCsv(bytes, request, rows);
  else readNdjson(bytes, rows);
  return finish(request, rows.writer.records, problems, (row) => `line ${rows.places[row] as Place}`);
}

function countLines(bytes: Buffer): number {
  let lines = 1;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) lines++;
  return lines;
}

function finish(
  request: EntriesRequest,
  records: Records,
  problems: Problems,
  name: (row: number) => string,
): EntriesSource {
  const { property, maxEntries } = request;
  const hashes = hashKeys(records);
  // a record that could not be encoded has no key to compare
  if (!problems.any) {
    checkKeys(request, records, (row, reason) => problems.add(...placed(request, name(row), reason)));
    findDuplicates(records, hashes, (row, earlier) =>
      problems.add(...placed(request, name(row), `has the same key as ${name(earlier)}`)),
    );
  }
  if (records.count > maxEntries) {
    problems.addWhole(property, `${records.count} rows are more than the map's ${maxEntries} entries`);
  }
  if (problems.any) throw problems.error(`encode ${property}`, property);
  if (request.keysOnly) return keysOf(property, records);
  const { manifest, blobs } = cutRecords(records, hashes);
  return { kind: "entries", property, manifest, count: records.count, blobs: () => blobs };
}

function keysOf(property: string, { bytes, keySize, recordSize, count }: Records): EntriesSource {
  const { manifest, blobs } = cutRecords({ bytes, recordSize, count: 0 }, new Uint32Array());
  const keys = Array.from({ length: count }, (_, row) =>
    bytes.toString("base64", row * recordSize, row * recordSize + keySize),
  );
  return { kind: "entries", property, manifest, count: 0, keys, blobs: () => blobs };
}

/** In the program a row is a property of its own; in a file it is part of the reason. */
function placed(request: EntriesRequest, row: string, reason: string): [property: string, reason: string] {
  return request.file === undefined ? [`${row}.key`, reason] : [request.property, `${row}: key ${reason}`];
}
