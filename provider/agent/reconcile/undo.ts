/**
 * How each action is taken back. Every undo looks at the kernel first and does only what is left to do: the same
 * code serves an error in the midst of apply and a crash that the next verb finds.
 */
import { LinkHandle, MapHandle, ProgramHandle, isErrno } from "../../bpf";
import { EbpfError } from "../../errors";
import type { Host } from "../host";
import { readSelector, select } from "../network-policy/generation";
import { settlePlanes } from "../network-policy/planes";
import { hookFile } from "../hooks/registry";
import { hookScope } from "../hooks/scope";
import { pinPath, temporaryPin } from "../layout";
import type { LinkRecord } from "../records";
import type { Action, LinkPlace } from "./actions";
import { unlessMissing } from "./actual";
import { rewrite, writeChange } from "./entries";
import type { EntriesChange } from "./entry-rows";
import type { Handles } from "./handles";
import { exchangeProgram, setReference } from "./perform";

/** For links that a crash left without one. */
const NO_RECORD: LinkRecord = { hook: "", linkId: 0, programId: 0, facts: {} };

/** What an undo works on. */
export interface Retreat {
  host: Host;
  handles: Handles;
  id: string;
  /** The revision that was being made. */
  revision: number;
  /** Exact values to restore, where this process saw them. */
  prior?: Map<Action, EntriesChange>;
}

/** Returns the link that could not be set back, in words; `null` when all is as before. */
export async function undo(retreat: Retreat, action: Action): Promise<string | null> {
  const { host, handles, id, revision, prior } = retreat;
  const pin = (kind: "programs" | "maps" | "links", part: string) =>
    pinPath(host.roots, id, revision, kind, part);
  switch (action.type) {
    case "make-directory":
      host.pins.removeRevision(id, revision);
      return null;
    case "pin-program":
      host.pins.remove(pin("programs", action.part));
      return null;
    case "pin-map":
      host.pins.remove(pin("maps", action.part));
      return null;
    case "pin-link":
      host.pins.remove(pin("links", action.part));
      return null;
    case "sync-entries": {
      const map = unlessMissing(() => MapHandle.fromId(action.mapId));
      if (map === null) return null;
      handles.keep(map);
      const exact = prior?.get(action);
      if (exact !== undefined) await writeChange(map, exact, () => undefined);
      else await rewrite(map, action.next, action.previous, host.blobs);
      return null;
    }
    case "set-reference":
      if (unlessMissing(() => handles.keep(MapHandle.fromId(action.mapId))) !== null) {
        setReference(handles, action.mapId, action.key, action.kind, action.from);
      }
      return null;
    case "attach-link": {
      const scope = hookScope(host, id, action.part);
      const file = hookFile(action.hook.type);
      file.undoAttach?.(scope, action.hook, action.programId, action.keep ?? null);
      const link = unlessMissing(() => LinkHandle.fromPin(pin("links", action.part)));
      if (link === null) return null;
      // the kernel frees an unpinned link some milliseconds later; the hook must be free now
      file.detach(scope, action.hook, NO_RECORD, handles.keep(link), action.programId);
      host.pins.remove(pin("links", action.part));
      return null;
    }
    case "detach-link":
      return undoDetach(retreat, action.place, action.programId);
    case "exchange-program":
      return undoExchange(retreat, action.place, action.from, action.to);
    case "switch-generation": {
      const selectors = unlessMissing(() => MapHandle.fromId(action.mapId));
      if (selectors === null) return null;
      if (readSelector(handles.keep(selectors)).current === action.to) select(selectors, action.from);
      return null;
    }
    case "raise-planes":
      await settlePlanes(host, action.scope, () => undefined);
      return null;
    // the maps and the Record that these wrote to were never in use
    case "fill-generation":
    case "copy-again":
    case "store-record":
    case "delete-record":
    case "drop-link":
    case "drop-revisions":
    case "settle-planes":
      return null;
  }
}

function undoExchange({ host, handles }: Retreat, place: LinkPlace, from: number, to: number): string | null {
  const { hook, applied, pin, spec, part } = place;
  if (pin !== undefined) host.pins.remove(temporaryPin(pin));
  const link = pin === undefined ? null : unlessMissing(() => LinkHandle.fromPin(pin));
  if (link !== null) handles.keep(link);
  if (pin !== undefined && link === null) return null;
  const seen = hookFile(hook.type).observe(hookScope(host, spec, part), hook, applied, link);
  // old: never done, or undone; another: not ours to touch; nothing: the hook itself is gone
  if (!seen.attached || seen.programId !== to) return null;
  try {
    exchangeProgram(host, handles, place, to, from);
    return null;
  } catch (error) {
    if (isErrno(error, "EPERM", "ENOLINK", "ENOENT") || EbpfError.is(error, "conflict"))
      return `${part} of ${spec}`;
    throw error;
  }
}

function undoDetach({ host, handles }: Retreat, place: LinkPlace, programId: number): string | null {
  const { hook, applied, pin, spec, part } = place;
  const file = hookFile(hook.type);
  const scope = hookScope(host, spec, part);
  const link = pin === undefined ? null : unlessMissing(() => LinkHandle.fromPin(pin));
  if (link !== null) handles.keep(link);
  if (file.observe(scope, hook, applied, link).attached) return null;
  const program = unlessMissing(() => ProgramHandle.fromId(programId));
  if (program === null) return `${part} of ${spec}`;
  const attached = file.attach(scope, file.asApplied?.(hook, applied) ?? hook, handles.keep(program));
  if (attached.link === null || pin === undefined) return null;
  host.pins.replace(pin, handles.keep(attached.link));
  return null;
}
