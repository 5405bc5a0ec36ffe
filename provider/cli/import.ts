/**
 * `import HOST [SPEC-ID…]`: what a host holds, as the file that `pulumi import --file` takes for a stack in dynamic
 * mode, whose provider the engine cannot ask itself. In plugin mode `pulumi import` needs no file.
 */
import { dynamicToken, PROVIDER_KEY, providerText } from "../adapters/provider-text";
import { EbpfError, invalid, type Problem } from "../errors";
import { createLifecycle, type Lifecycle, type Properties, readSettings } from "../lifecycle";
import { withoutCredentials } from "../lifecycle/credentials";
import { parseSpecId } from "../protocol/spec-id";
import { definitions } from "../resources";
import { available } from "../resources/closest";
import { openSources } from "../sources";
import { hostLabel } from "../transport/connection";
import type { AgentSession } from "../transport/session";
import type { Command, Invocation } from "./command";
import { openHost } from "./host";

/** An entry of the import file (github.com/pulumi/pulumi, pkg/cmd/pulumi/operations/import.go). */
interface Imported {
  type: string;
  name: string;
  id: string;
  inputs: Properties;
  outputs: Properties;
}

export const importCommand: Command = {
  operands: ["HOST", "[SPEC-ID…]"],
  options: ["clear"],
  async run(invocation) {
    const clear = invocation.options["clear"];
    if (clear !== undefined && clear !== "globals") {
      throw invalid("read the command line", [
        { property: "--clear", reason: `"${clear}" is not "globals"` },
      ]);
    }
    const session = await openHost(invocation);
    const ids = await chosen(session, invocation.operands);
    const lifecycle = lifecycleOver(session, invocation);
    const found = await Promise.all(ids.map((id) => lookUp(lifecycle, invocation, id)));
    refuseSecrets(found, clear === "globals");
    const file = { resources: found };
    return { well: true, text: JSON.stringify(file, null, 2), json: file };
  },
};

/** Those that were named, else all of the host, which then must be of one stack. */
async function chosen(session: AgentSession, given: string[]): Promise<string[]> {
  const held = (await session.call("list", {})).map(({ id }) => id).sort();
  if (given.length > 0) {
    // the id as Pulumi prints it has the host in front
    const wanted = given.map((id) => id.split("/").slice(-4).join("/"));
    const missing = wanted.filter((id) => !held.includes(id));
    if (missing.length === 0) return wanted;
    const problems = missing.map((id) => ({
      property: id,
      reason: `the host has no Record of it; ${available("Records", id, held)}`,
    }));
    throw invalid("import", problems, { host: session.host });
  }
  const stacks = [...new Set(held.map((id) => id.split("/", 2).join("/")))];
  if (stacks.length === 1) return held;
  throw new EbpfError(
    "invalid",
    stacks.length === 0
      ? "import: the host holds nothing of pulumi-ebpf"
      : `import: the host holds resources of ${stacks.length} stacks, ${stacks.join(", ")}`,
    {},
    {
      host: session.host,
      ...(stacks.length === 0 ? {} : { remedy: "name the resources, as `ls` prints them" }),
    },
  );
}

function lifecycleOver(session: AgentSession, { report }: Invocation): Lifecycle {
  return createLifecycle({
    definitions,
    openSession: async () => session,
    openSources,
    settings: readSettings(() => undefined, {}),
    report,
  });
}

async function lookUp(
  lifecycle: Lifecycle,
  { connections: [connection], report }: Invocation,
  specId: string,
): Promise<Imported> {
  const { kind, name } = parseSpecId(specId);
  const way = withoutCredentials(connection!);
  const id = `${hostLabel(way)}/${specId}`;
  const found = await lifecycle.find(kind, id, way);
  if (found === null) {
    throw new EbpfError("not-found", `import ${specId}: it went meanwhile`, { what: "Record", name: specId });
  }
  const drift = found.outputs["drift"] as string[];
  for (const text of drift) report(`${specId}: drift: ${text}`);
  const provider = { [PROVIDER_KEY]: providerText(kind) };
  return {
    type: dynamicToken(kind),
    name,
    id,
    inputs: { ...found.inputs, ...provider },
    outputs: { ...found.outputs, ...provider },
  };
}

/** The file is no place for them, and `pulumi import` would keep them in clear in the state, too. */
function refuseSecrets(found: readonly Imported[], globalsInClear: boolean): void {
  const problems = found.flatMap(({ inputs }): Problem[] => {
    const property = String(inputs["specId"]);
    if (inputs["secret"] === true) return [{ property, reason: "its rows are declared secret" }];
    const globals = Object.keys((inputs["globals"] as object | undefined) ?? {});
    if (globals.length === 0 || globalsInClear) return [];
    return [{ property, reason: `globals may be secret, and the host does not know: ${globals.join(", ")}` }];
  });
  if (problems.length === 0) return;
  throw invalid("import: secrets would lie in clear in the file and in the state", problems, {
    remedy:
      "in plugin mode `pulumi import` keeps them encrypted; leave out what has secret rows, and give `--clear globals` " +
      "if the globals are none",
  });
}
