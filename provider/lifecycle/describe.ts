/** What a user reads of an error of the host. Owns the files that hold whole verifier logs. */
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { EbpfError } from "../errors";
import { digestOf } from "../protocol/spec";
import { parseSpecId } from "../protocol/spec-id";
import type { CommonInputs } from "../resources/resource";
import type { Call } from "./call";

/** Where an error happened, for its text. */
export interface Place {
  host: string;
  kernel?: string;
}

/** One line, with the remedy; a verifier's log goes to a file that the line names. */
export function describe(error: EbpfError, place: Place): string {
  if (EbpfError.is(error, "verifier")) {
    const { entrypoint, summary, sourceLine, log } = error.details;
    const kernel = place.kernel === undefined ? "" : ` (kernel ${place.kernel})`;
    const line = sourceLine === undefined ? "" : ` at ${sourceLine}`;
    return `verifier rejects ${entrypoint} on ${place.host}${kernel}: ${summary}${line}; full log in ${keepLog(entrypoint, log)}`;
  }
  // the property is said beside the text, so the text need not
  const { property: _property, ...context } = error.context;
  return new EbpfError(error.code, error.message, error.details, { host: place.host, ...context }).render();
}

/** Lines of a verifier's log that tell the most. */
const LAST_LINES = 30;

/** The end of a verifier's log, which says what the program did up to the refused instruction. */
export function explain(error: EbpfError, call: Call): void {
  if (!EbpfError.is(error, "verifier")) return;
  const lines = error.details.log.trimEnd().split("\n");
  const last = lines.slice(-LAST_LINES);
  const left = lines.length - last.length;
  const first = left > 0 ? [`… ${left} lines before`] : [];
  call.explain?.([`verifier log of ${error.details.entrypoint}:`, ...first, ...last].join("\n"));
}

/** In a directory of the user's own: /tmp is everybody's, and a log quotes the program. */
function keepLog(entrypoint: string, log: string): string {
  const directory = join(tmpdir(), `pulumi-ebpf-${userInfo().uid}`);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const file = join(directory, `verifier-${entrypoint}-${digestOf(log).slice(0, 8)}.log`);
  writeFileSync(file, log, { mode: 0o600 });
  return file;
}

/** Nobody answered at the host's address; `openssh` cannot tell that from a login that failed. */
export function isUnreachable(error: EbpfError): boolean {
  return EbpfError.is(error, "transport") && error.details.phase === "dial";
}

/** What a delete says of a host that does not answer, and need not. */
export function forgotten(
  { specId, onUnreachableReason }: Pick<CommonInputs, "specId" | "onUnreachableReason">,
  host: string,
  error: EbpfError,
): string {
  const reason = onUnreachableReason === undefined ? "" : `, because "${onUnreachableReason}"`;
  return (
    `${parseSpecId(specId).name}: ${host} is unreachable (${error.message}): forgotten, as onUnreachable says` +
    `${reason}; what runs there stays`
  );
}

/** An error of refresh or destroy about a host that cannot be reached, with the ways on without it. */
export function withWaysOut(error: EbpfError, operation: "read" | "delete"): EbpfError {
  if (!EbpfError.is(error, "transport")) return error;
  const drop = "drop the resource from the state with `pulumi state delete <urn>`";
  const remedy =
    operation === "read"
      ? `leave it out with \`--exclude <urn>\` or name the others with \`--target\`, or ${drop}`
      : `leave it out with \`--exclude <urn>\` or \`--target\`, or ${drop}, or set onUnreachable: "forget" and run ` +
        "`pulumi up` before: in both cases what runs there stays";
  // the state's key may be an old one: refresh and destroy run no program that could say the present one
  const present =
    error.details.phase === "auth"
      ? "if the state's credentials are out of date, give present ones as PULUMI_EBPF_PRIVATE_KEY or config `ebpf:privateKey`"
      : error.context.remedy;
  const first = present === undefined ? "" : `${present}; `;
  return new EbpfError(error.code, error.message, error.details, {
    ...error.context,
    remedy: first + remedy,
    cause: error.cause,
  });
}
