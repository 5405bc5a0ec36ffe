/** Drift of a resource in words: keys and values by their types, secret values never. */
import { decode, type TypeLayout } from "../btf";
import type { EntriesPart, Spec } from "../protocol/spec";
import type { DriftItem, Status } from "../protocol/status";

/** Most items that are named one by one. */
const MOST = 50;

/** `compile` gives the Spec, which nobody needs where nothing drifted. */
export function driftTexts(status: Status, compile: () => Spec): string[] {
  if (status.drift.length === 0) return [];
  const spec = compile();
  const texts = status.drift.slice(0, MOST).map((item) => driftText(item, entriesOf(spec, item.part)));
  const more = status.drift.length - texts.length;
  return more > 0 ? [...texts, `and ${more} more`] : texts;
}

function entriesOf(spec: Spec, part: string): EntriesPart | undefined {
  return spec.entries.find(({ name }) => name === part);
}

function driftText(item: DriftItem, entries: EntriesPart | undefined): string {
  const { message, key, expected, found } = item;
  const secret = entries === undefined || entries.secret === true;
  const value = (bytes: string | undefined) =>
    bytes === undefined ? "nothing" : rendered(bytes, entries?.valueLayout);
  const subject = key === undefined ? message : `${message}: key ${rendered(key, entries?.keyLayout)}`;
  if (secret || (expected === undefined && found === undefined)) return subject;
  return `${subject}: declared ${value(expected)}, found ${value(found)}`;
}

function rendered(base64: string, layout: unknown): string {
  const bytes = Buffer.from(base64, "base64");
  if (layout === undefined) return `0x${bytes.toString("hex")}`;
  return JSON.stringify(decode(layout as TypeLayout, bytes));
}
