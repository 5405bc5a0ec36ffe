/** Lookup: a resource by its id alone, as import and `get` know it. */
import { EbpfError } from "../errors";
import { parseSpecId } from "../protocol/spec-id";
import type { Connection } from "../transport/connection";

export interface ResourceId {
  /** Where the id says that the host is: `user` and `port` only if it names them. */
  connection: Connection;
  specId: string;
}

/**
 * Reads `[user@]host[:port]/<spec id>` of a resource of that kind. Fails with `invalid` for a malformed id, for one of
 * another kind, and for a fleet's.
 */
export function parseId(kind: string, id: string): ResourceId {
  const form = `[user@]host[:port]/<project>/<stack>/${kind}/<name>`;
  const remedy = `give it as ${form}; \`npx pulumi-ebpf ls <host>\` lists what a host holds`;
  const fail = (cause: string): EbpfError =>
    new EbpfError("invalid", `read the id "${id}" of a ${kind}: ${cause}`, {}, { remedy });

  const slash = id.indexOf("/");
  if (slash <= 0) throw fail(`it is not of the form ${form}`);
  const [label, specId] = [id.slice(0, slash), id.slice(slash + 1)];
  if (label === "fleet") {
    throw new EbpfError(
      "invalid",
      `look up "${id}": it is a fleet's, and no host alone can say what a fleet is`,
      {},
      { remedy: "declare it in the program: its first `pulumi up` adopts what the hosts hold" },
    );
  }
  let found: string;
  try {
    found = parseSpecId(specId).kind;
  } catch {
    throw fail(`"${specId}" is no name of a resource on a host`);
  }
  if (found !== kind) throw fail(`it is that of a ${found}`);

  const match = /^(?:([^@]+)@)?(?:\[([^\]]+)\]|([^@:[\]]+))(?::(\d{1,5}))?$/.exec(label);
  const port = match?.[4] === undefined ? undefined : Number(match[4]);
  if (match === null || port === 0 || (port ?? 0) > 65535) throw fail(`"${label}" names no host`);
  const [, user, bracketed, plain] = match;
  const connection = {
    host: (bracketed ?? plain)!,
    ...(user === undefined ? {} : { user }),
    ...(port === undefined ? {} : { port }),
  };
  return { connection, specId };
}

/** Whether a connection leads where an id says. What the id leaves open may be anything. */
export function leadsTo(connection: Connection, id: Connection): boolean {
  return (
    connection.host === id.host &&
    (id.user === undefined || connection.user === id.user) &&
    (id.port === undefined || (connection.port ?? 22) === id.port)
  );
}
