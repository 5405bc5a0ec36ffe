/** `inspect HOST ID`: one Spec as the kernel shows it, and its drift in the words that `pulumi refresh` uses. */
import { EbpfError } from "../errors";
import { withDefaults } from "../lifecycle/defaults";
import { driftTexts } from "../lifecycle/drift";
import { observeTogether } from "../lifecycle/observe-together";
import type { ObserveResult } from "../protocol/messages";
import { type Spec, SPEC_FORMAT } from "../protocol/spec";
import { parseSpecId } from "../protocol/spec-id";
import type { Status } from "../protocol/status";
import { definitions } from "../resources";
import { available } from "../resources/closest";
import type { CommonInputs } from "../resources/resource";
import type { Connection } from "../transport/connection";
import type { AgentSession } from "../transport/session";
import { columns, type Command, indented } from "./command";
import { openHost } from "./host";

export const inspect: Command = {
  operands: ["HOST", "ID"],
  async run(invocation) {
    const id = specIdOf(invocation.operands[0]!);
    const session = await openHost(invocation);
    const observed = await observeTogether(session, id);
    if (observed === null) throw await unknown(session, id);
    // items of drift hold keys and values as bytes, secret ones too; the texts leave those out
    const { drift: _items, notes: _none, ...status } = observed.status;
    const drift = driftTexts(observed.status, () => specOf(observed, id, invocation.connections[0]!));
    return {
      well: drift.length === 0,
      text: describeStatus(session.host, observed.status, drift),
      json: { host: session.host, ...status, drift },
    };
  },
};

/** The id as Pulumi prints it has the host in front. */
function specIdOf(text: string): string {
  const id = text.split("/").slice(-4).join("/");
  parseSpecId(id);
  return id;
}

async function unknown(session: AgentSession, id: string): Promise<EbpfError> {
  const ids = (await session.call("list", {})).map((record) => record.id);
  return new EbpfError(
    "not-found",
    `inspect ${id}: the host has neither a Record nor a pin of it; ${available("Records", id, ids)}`,
    { what: "Record", name: id },
    { host: session.host },
  );
}

/** As the resource compiles it; without what a Record tells (its inputs, a kind we know) there are no types. */
function specOf({ inputs }: ObserveResult, id: string, connection: Connection): Spec {
  const definition = definitions[parseSpecId(id).kind];
  if (definition === undefined || inputs === null) {
    return { format: SPEC_FORMAT, id, objects: [], maps: [], entries: [], links: [] };
  }
  const applied = { ...(inputs as CommonInputs), connection, specId: id, drift: [] };
  return definition.compile(withDefaults(definition, applied));
}

export function describeStatus(host: string, status: Status, drift: readonly string[]): string {
  const sections: [string, string[][]][] = [
    [
      "programs",
      Object.entries(status.programs).map(([name, { programId, type, tag, verifiedInstructions, pin }]) => [
        name,
        `id ${programId}`,
        type,
        `tag ${tag}`,
        `${verifiedInstructions} instructions verified`,
        pin,
      ]),
    ],
    [
      "maps",
      Object.entries(status.maps).map(([name, { mapId, type, keySize, valueSize, maxEntries, pin }]) => [
        name,
        `id ${mapId}`,
        type,
        `key ${keySize} B, value ${valueSize} B`,
        `${maxEntries} entries at most`,
        pin,
      ]),
    ],
    [
      "entries",
      Object.entries(status.entries).map(([name, { matching, declared }]) => [
        name,
        `${matching} of ${declared} as declared`,
      ]),
    ],
    [
      "links",
      Object.entries(status.links).map(([name, { linkId, programId, hook, facts }]) => [
        name,
        linkId === 0 ? "by netlink" : `id ${linkId}`,
        hook,
        `program ${programId}`,
        Object.entries(facts)
          .map(([fact, value]) => `${fact} ${value}`)
          .join(", "),
      ]),
    ],
  ];
  return [
    `${status.id} on ${host}`,
    `  revision ${status.revision}, incarnation ${status.incarnation === "" ? "unknown" : status.incarnation}`,
    ...sections.flatMap(([title, rows]) =>
      rows.length === 0 ? [] : [`  ${title}`, indented(columns(rows), "    ")],
    ),
    drift.length === 0 ? "  no drift" : "  drift",
    ...drift.map((text) => `    ${text}`),
  ].join("\n");
}
