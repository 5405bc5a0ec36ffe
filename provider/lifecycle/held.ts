/** Inputs that the host keeps in chunks: left out of its Record, and read back from the chunks where nobody else has them. */
import type { TextChunk } from "../protocol/policy";
import type { CommonInputs, ResourceDefinition } from "../resources/resource";
import type { AgentSession } from "../transport/session";
import { type Call, during } from "./call";
import type { Properties } from "./state";

/** Chunks of some 64 KB each, in one message. */
const CHUNKS_AT_ONCE = 64;

/** For the Record. */
export function withoutHeld({ held = {} }: ResourceDefinition, inputs: Properties): Properties {
  return Object.fromEntries(Object.entries(inputs).filter(([name]) => !(name in held)));
}

/** The names of held inputs that two versions have alike: none of them needs to be looked into. */
export function alikeHeld({ held = {} }: ResourceDefinition, one: Properties, other: Properties): string[] {
  return Object.entries(held).flatMap(([name, { content }]) => {
    const [a, b] = [one, other].map((inputs) => content(inputs as unknown as CommonInputs)?.manifest);
    return a !== undefined && a === b ? [name] : [];
  });
}

/** Whether some held input is known to be another, which the digests of its lines tell. */
export function otherHeld({ held = {} }: ResourceDefinition, one: Properties, other: Properties): boolean {
  return Object.values(held).some(({ content }) => {
    const [a, b] = [one, other].map((inputs) => content(inputs as unknown as CommonInputs)?.manifest);
    return a !== undefined && b !== undefined && a !== b;
  });
}

/** `applied` as the Record has it, `known` as the state has it: the state's are taken where they are the same. */
export async function withHeld(
  definition: ResourceDefinition,
  applied: Properties,
  known: Properties,
  session: AgentSession,
  call: Pick<Call, "signal">,
): Promise<Properties> {
  const alike = alikeHeld(definition, applied, known).filter((name) => known[name] !== undefined);
  const found: Properties = Object.fromEntries(alike.map((name) => [name, known[name]]));
  for (const [name, { content, fromLines }] of Object.entries(definition.held ?? {})) {
    const { manifest } = content(applied as unknown as CommonInputs) ?? {};
    if (manifest === undefined || alike.includes(name)) continue;
    found[name] = fromLines(await readLines(manifest, session, call));
  }
  return { ...applied, ...found };
}

async function readLines(
  manifest: string,
  session: AgentSession,
  call: Pick<Call, "signal">,
): Promise<string[]> {
  const read = (digests: string[]) => session.call("blob.get", { digests }, during(call));
  const text = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString();
  const chunks = JSON.parse(text((await read([manifest]))[manifest]!)) as TextChunk[];
  const lines: string[] = [];
  for (let at = 0; at < chunks.length; at += CHUNKS_AT_ONCE) {
    const some = chunks.slice(at, at + CHUNKS_AT_ONCE);
    const blobs = await read(some.map(({ blob }) => blob));
    for (const { blob } of some) {
      for (const line of text(blobs[blob]!).trimEnd().split("\n")) lines.push(line);
    }
  }
  return lines;
}
