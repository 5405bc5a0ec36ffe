/** The command line, read: command, operands, and the connection that HOST and the options describe. */
import { parseArgs } from "node:util";
import { EbpfError, invalid, type Problem } from "../errors";
import { withCredentials, type Settings } from "../lifecycle/credentials";
import { problemsOf } from "../lifecycle/problems";
import { closest } from "../resources/closest";
import { type Connection, connectionSchema, type Proxy } from "../transport/connection";
import { parseJump } from "../transport/ssh-config";
import type { Command } from "./command";

export interface Line {
  command: Command;
  operands: string[];
  options: Record<string, string>;
  connections: Connection[];
  json: boolean;
}

/** Also an option's place in the connection, for those that have one. */
const hostOptions = { identity: "privateKey", "host-key": "hostKey", transport: "transport" } as const;
const flags = {
  json: { type: "boolean" },
  help: { type: "boolean", short: "h" },
  version: { type: "boolean" },
} as const;

/** `undefined` asks for help, `version` for the version. Fails with `invalid` that lists all that is wrong. */
export function readArguments(
  args: readonly string[],
  commands: Readonly<Record<string, Command>>,
  settings: Settings,
): Line | "help" | "version" {
  const problems: Problem[] = [];
  const own = [...new Set(Object.values(commands).flatMap(({ options = [] }) => options))];
  const strings = Object.fromEntries(
    [...Object.keys(hostOptions), ...own].map((name) => [name, { type: "string" as const }]),
  );
  const { values, positionals, tokens } = parseArgs({
    args: [...args],
    options: { ...strings, ...flags },
    allowPositionals: true,
    // its own errors tell of one problem at a time
    strict: false,
    tokens: true,
  });
  if (values["help"] === true) return "help";
  if (values["version"] === true) return "version";

  // a command may be of two words
  const two = positionals.slice(0, 2).join(" ");
  const [name, ...operands] = Object.hasOwn(commands, two) ? [two, ...positionals.slice(2)] : positionals;
  const command = name === undefined || !Object.hasOwn(commands, name) ? undefined : commands[name];
  if (command === undefined) {
    const names = Object.keys(commands);
    problems.push({
      property: "COMMAND",
      reason:
        name === undefined
          ? `missing; there are ${names.join(", ")}`
          : `"${name}" is none${guess(name, names)}`,
    });
  }
  const wanted = command?.operands ?? [];
  const dials = wanted[0] === "HOST";
  const known = [
    ...(command === undefined || dials ? Object.keys(hostOptions) : []),
    ...(command === undefined ? own : (command.options ?? [])),
    ...Object.keys(flags),
  ];
  for (const token of tokens) {
    if (token.kind !== "option") continue;
    const problem = optionProblem(token.name, token.value, known);
    if (problem !== undefined) problems.push({ property: token.rawName, reason: problem });
  }
  if (command !== undefined) {
    for (const missing of wanted.slice(operands.length).filter((name) => !name.startsWith("[")))
      problems.push({ property: missing, reason: "missing" });
    const most = wanted.at(-1)?.endsWith("…]") === true ? Infinity : wanted.length;
    for (const extra of operands.slice(most))
      problems.push({ property: extra, reason: "one operand too many" });
  }

  const hosts = dials ? operands.splice(0, wanted.includes("[HOST…]") ? Infinity : 1) : [];
  const connections = hosts.map((host) => connectionTo(host, values, settings, problems));
  if (problems.length > 0 || command === undefined) {
    throw invalid("read the command line", problems, { remedy: "see `pulumi-ebpf --help`" });
  }
  const given = (command.options ?? []).flatMap((option) =>
    typeof values[option] === "string" ? [[option, values[option]] as const] : [],
  );
  return {
    command,
    operands,
    options: Object.fromEntries(given),
    json: values["json"] === true,
    connections,
  };
}

function optionProblem(
  name: string,
  value: string | undefined,
  known: readonly string[],
): string | undefined {
  if (name === "h" || known.includes(name)) {
    const isFlag = name === "h" || Object.hasOwn(flags, name);
    if (isFlag) return value === undefined ? undefined : "takes no value";
    return value === undefined || value === "" || value.startsWith("--") ? "needs a value" : undefined;
  }
  return `unknown option${guess(name, known, "--")}`;
}

function guess(word: string, names: readonly string[], prefix = ""): string {
  const near = closest(word, names);
  return near === undefined
    ? `; there are ${names.map((name) => prefix + name).join(", ")}`
    : `; did you mean ${prefix}${near}?`;
}

/** What stands in the command line comes before the environment's credentials. */
function connectionTo(
  host: string,
  values: Record<string, unknown>,
  settings: Settings,
  problems: Problem[],
): Connection {
  let endpoint: Proxy = { host };
  try {
    endpoint = parseJump(host);
  } catch (error) {
    if (!EbpfError.is(error, "transport")) throw error;
    problems.push({
      property: "HOST",
      reason: `"${host}" is not [user@]host[:port], an IPv6 address in brackets`,
    });
  }
  const stated = Object.entries(hostOptions).flatMap(([option, property]) =>
    typeof values[option] === "string" ? [[property, values[option]] as const] : [],
  );
  const connection = { ...withCredentials(endpoint, settings), ...Object.fromEntries(stated) };
  const parsed = connectionSchema.safeParse(connection);
  if (parsed.success) return parsed.data;
  for (const { property, reason } of problemsOf(connectionSchema, parsed.error.issues)) {
    const option = Object.entries(hostOptions).find(([, name]) => name === property)?.[0];
    problems.push({
      property: option === undefined ? "HOST" : `--${option}`,
      reason: option === undefined ? `${property}: ${reason}` : reason,
    });
  }
  return endpoint;
}
