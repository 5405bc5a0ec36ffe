/**
 * Records: what the agent applied, one JSON file per Spec, root only.
 *
 * Owns: their format, reading, writing, listing. Does not own: who refers to whom (references.ts), or what the
 * kernel shows now (reconcile/observe.ts).
 */
import fs from "node:fs";
import path from "node:path";
import type { ComparableShape } from "../btf";
import { EbpfError } from "../errors";
import type { RecordSummary } from "../protocol/messages";
import type { Spec } from "../protocol/spec";
import {
  fileError,
  readIfThere,
  removeIfThere,
  syncDirectory,
  systemCode,
  writeDurably,
} from "./durable-file";
import { type Roots, recordPath } from "./layout";

export const RECORD_FORMAT = 1;

const STORED: StoredAs = {
  what: "Record",
  format: RECORD_FORMAT,
  remedy: "restore the file under /var/lib/pulumi-ebpf/records from a backup, or remove it and apply again",
};

export interface Record {
  format: typeof RECORD_FORMAT;
  id: string;
  incarnation: string;
  /** Names the pin directory; counts the applies that changed kernel objects. */
  revision: number;
  /** ISO 8601 */
  appliedAt: string;
  /** Boot in which the kernel objects were made; their ids mean nothing in another. */
  bootId: string;
  specDigest: string;
  spec: Spec;
  /** Checked inputs of the operator, less credentials. */
  inputs: unknown;
  programs: { [entrypoint: string]: ProgramRecord };
  maps: { [map: string]: MapRecord };
  links: { [link: string]: LinkRecord };
  /** As in Status. */
  swappedLinks?: string[];
  /** What was here before this Spec, to roll back to; `null`: nothing. Absent: nobody asked to keep it. */
  previous?: Generation | null;
  /** Present until it is confirmed. */
  unconfirmed?: Unconfirmed;
  /** When a change of it went back, because nobody confirmed it; ISO 8601. Absent after the next apply. */
  wentBackAt?: string;
  /** To be removed as soon as no other Record refers to it. */
  leaving?: true;
}

/** A Spec with the inputs it came from: all that another apply of it needs, besides its blobs. */
export interface Generation {
  spec: Spec;
  inputs: unknown;
}

/** A change that goes back to `previous` unless it is confirmed in time. */
export interface Unconfirmed {
  withinSeconds: number;
  /** ISO 8601; from the commit on. */
  until: string;
  /** The process group that waits for it; see revert-timer.ts. */
  timer: number;
  /** Why it could not go back. */
  obstacle?: string;
}

export interface ProgramRecord {
  programId: number;
  tag: string;
  /** ObjectPart's name. */
  object: string;
  /** What it was loaded from and with; equal text: need not be loaded again. */
  loadedFrom: string;
}

export interface MapRecord {
  mapId: number;
  /** ObjectPart's name; absent for a MapPart. */
  object?: string;
  shape: ComparableShape;
}

/** An attachment as the hook's file described it; see hooks/hook.ts. */
export interface LinkRecord {
  hook: string;
  /** 0: attached by netlink, nothing to pin. */
  linkId: number;
  programId: number;
  /** The program is a second copy of this one, loaded because the hook takes none twice. */
  cloneOf?: number;
  facts: { [fact: string]: string | number | boolean };
}

export class Records {
  constructor(private readonly roots: Roots) {}

  get directory(): string {
    return path.join(this.roots.state, "records");
  }

  /** `null`: no such Record. Fails with `record` when it is damaged or of a newer format. */
  read(id: string): Record | null {
    const bytes = readIfThere(recordPath(this.roots, id));
    if (bytes === null) return null;
    const record = parseStored<Record>(bytes, id, STORED);
    if (record.id !== id || typeof record.spec?.id !== "string" || typeof record.incarnation !== "string") {
      throw damaged(id, STORED, "it names another Spec or lacks its fields");
    }
    return record;
  }

  /** Durable when it returns: this is apply's commit point. */
  write(record: Record): void {
    writeDurably(recordPath(this.roots, record.id), JSON.stringify(record));
  }

  delete(id: string): void {
    removeIfThere(recordPath(this.roots, id));
    syncDirectory(this.directory);
  }

  /** File names of all Records; stable order. */
  files(): string[] {
    try {
      return fs
        .readdirSync(this.directory)
        .filter((name) => name.endsWith(".json"))
        .sort();
    } catch (error) {
      if (systemCode(error) === "ENOENT") return [];
      throw fileError(`list ${this.directory}`, error);
    }
  }

  /** Reads one of `files()`; a long id is only known from inside. */
  readFile(name: string): Record {
    const bytes = readIfThere(path.join(this.directory, name));
    const id = decodeFileName(name);
    if (bytes === null)
      throw new EbpfError("not-found", `read Record ${id}: it is gone`, { what: "Record", name: id });
    return parseStored<Record>(bytes, id, STORED);
  }

  /** One after the other; what cannot be read is left out. */
  *all(): Generator<Record> {
    for (const name of this.files()) {
      try {
        yield this.readFile(name);
      } catch (error) {
        if (!EbpfError.is(error, "record", "not-found")) throw error;
      }
    }
  }

  list(): RecordSummary[] {
    return this.files().map((name) => {
      try {
        const record = this.readFile(name);
        const { id, incarnation, revision, appliedAt, specDigest } = record;
        const [programs, maps, links] = [record.programs, record.maps, record.links].map(Object.keys);
        return {
          id,
          incarnation,
          revision,
          appliedAt,
          specDigest,
          programs: programs!,
          maps: maps!,
          links: links!,
        };
      } catch (error) {
        const empty = {
          incarnation: "",
          revision: 0,
          appliedAt: "",
          specDigest: "",
          programs: [],
          maps: [],
          links: [],
        };
        return { id: decodeFileName(name), ...empty, damaged: EbpfError.from(error).message };
      }
    });
  }
}

/** A kind of file of ours. */
export interface StoredAs {
  what: string;
  /** The newest that this agent knows. */
  format: number;
  /** Of a damaged one. */
  remedy: string;
}

/** JSON of ours with a `format`; anything else is an error that names it. */
export function parseStored<T extends { format: number }>(bytes: Buffer, id: string, stored: StoredAs): T {
  const { what, format } = stored;
  let value: T;
  try {
    value = JSON.parse(bytes.toString("utf8")) as T;
  } catch {
    throw damaged(id, stored, "it is not JSON");
  }
  if (value === null || typeof value !== "object" || typeof value.format !== "number") {
    throw damaged(id, stored, "it has no format");
  }
  if (value.format > format) {
    throw new EbpfError(
      "record",
      `read ${what} of ${id}: it has format ${value.format}, this agent knows up to ${format}`,
      { id },
      { remedy: "use the newer version of pulumi-ebpf that wrote it" },
    );
  }
  return value;
}

function damaged(id: string, { what, remedy }: StoredAs, why: string): EbpfError {
  return new EbpfError("record", `read ${what} of ${id}: damaged: ${why}`, { id }, { remedy });
}

/** Undoes pathPart for names that were not cut; only for messages. */
function decodeFileName(name: string): string {
  try {
    return decodeURIComponent(name.replace(/\.json$/, ""));
  } catch {
    return name;
  }
}
