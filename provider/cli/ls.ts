/** `ls HOST`: every Record of the host, whichever stack it belongs to. */
import type { RecordSummary } from "../protocol/messages";
import { columns, type Command } from "./command";
import { openHost } from "./host";

export const ls: Command = {
  operands: ["HOST"],
  async run(invocation) {
    const session = await openHost(invocation);
    const records = (await session.call("list", {})).sort((a, b) => (a.id < b.id ? -1 : 1));
    return {
      well: records.every(({ damaged }) => damaged === undefined),
      text:
        records.length === 0 ? `${session.host} holds nothing of pulumi-ebpf` : table(records, Date.now()),
      json: { host: session.host, records },
    };
  },
};

export function table(records: readonly RecordSummary[], now: number): string {
  const head = ["ID", "REVISION", "AGE", "PROGRAMS", "MAPS", "LINKS"];
  const rows = records.map(({ id, revision, appliedAt, programs, maps, links, damaged }) =>
    damaged === undefined
      ? [id, String(revision), age(appliedAt, now), ...[programs, maps, links].map(list)]
      : [id, "-", "-", `damaged: ${damaged}`, "", ""],
  );
  return columns([head, ...rows]);
}

function list(names: readonly string[]): string {
  return names.length === 0 ? "-" : names.join(",");
}

/** Since an ISO 8601 time, in the largest unit that fits. */
function age(since: string, now: number): string {
  const seconds = Math.max(0, Math.floor((now - Date.parse(since)) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
