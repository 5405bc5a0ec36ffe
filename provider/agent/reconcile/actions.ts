/**
 * Actions: the visible steps of apply and remove, as plain data. Each has a `perform` and an `undo`; both read the
 * kernel instead of trusting what was, so that an undo is right whether its action ran, ran half, or never did.
 * That makes recovery after a crash the same code as undoing after an error.
 *
 * Kernel objects are named by id. An id stays good as long as a pin or an open descriptor holds the object, and
 * the kernel hands ids out in a circle of 2^31.
 */
import type { Hook } from "../../protocol/hooks";
import type { EntriesPart } from "../../protocol/spec";
import type { LinkRecord } from "../records";

/** Where a live attachment is: its Spec, its pin (none for netlink), what was recorded of it. */
export interface LinkPlace {
  spec: string;
  part: string;
  hook: Hook;
  applied: LinkRecord;
  /** Absent for netlink attachments. */
  pin?: string;
}

export type Action =
  /** The new revision's directory. */
  | { type: "make-directory" }
  | { type: "pin-program"; part: string; programId: number }
  | { type: "pin-map"; part: string; mapId: number }
  /** A second pin for a link that stays: from here on it never has less than one. */
  | { type: "pin-link"; part: string; linkId: number }
  /** `previous` is what the map was declared to hold, `next` what it shall; one of them may be absent. */
  | { type: "sync-entries"; part: string; mapId: number; previous?: EntriesPart; next?: EntriesPart }
  /** A slot of a prog_array or map-in-map, to another program or map. */
  | {
      type: "set-reference";
      part: string;
      mapId: number;
      key: string;
      kind: "program" | "map";
      from: number;
      to: number;
    }
  /** The old attachment goes before the new one comes: a gap that the user allowed. */
  | { type: "detach-link"; place: LinkPlace; programId: number }
  | { type: "attach-link"; part: string; hook: Hook; programId: number; keep?: LinkRecord; cloneOf?: number }
  | { type: "exchange-program"; place: LinkPlace; from: number; to: number }
  /** Cells of a network policy's generation, into the slot that does not judge; and fresh counters to zero. */
  | { type: "fill-generation"; mapId: number; slot: number; counters: { mapId: number; perRule: number } }
  /** One write of a selector: slots of `generations`. `withinSeconds`: back by itself after that. */
  | { type: "switch-generation"; mapId: number; from: number; to: number; withinSeconds?: number }
  /** The planes that network policies need, in these namespaces; each is a transaction of its own. */
  | { type: "raise-planes"; scope: string[] }
  /** Planes as the Records say. */
  | { type: "settle-planes"; scope: string[] }
  /** Writes that the old map took while its copy was made. */
  | { type: "copy-again"; part: string; from: number; to: number }
  /** The commit point: from here on there is no undo. */
  | { type: "store-record" }
  /** The last of remove but for its intent. */
  | { type: "delete-record" }
  | { type: "drop-link"; place: LinkPlace; programId: number }
  | { type: "drop-revisions" };
