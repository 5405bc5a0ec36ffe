/**
 * What a person wants from a verifier log: one line why, and where in the source. Follows cilium/ebpf's
 * VerifierError (internal/errors.go): the last line, and the one before it where the last alone says too little.
 */

export interface VerifierSummary {
  /** One line. */
  summary: string;
  /** `file.c:41` where the kernel tells (6.9 and newer), else the text of the source line. */
  sourceLine?: string;
}

/** What the verifier adds after its verdict. */
const STATISTICS = /^(processed \d+ insns|verification time \d+|stack depth |(cur|old) state:)/;

/** `; text @ file.c:41` or `; text`, before the instructions that came of it. */
const SOURCE = /^\d*:?\s*; (.*?)(?: @ (\S+):(\d+))?$/;

const INSTRUCTION = /^\d+: \([0-9a-f]{2}\)/;

export function summarizeVerifierLog(log: string): VerifierSummary {
  const lines = log
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "");
  while (lines.length > 0 && STATISTICS.test(lines.at(-1) as string)) lines.pop();
  const last = lines.at(-1);
  if (last === undefined) return { summary: "the kernel gave no reason" };
  const previous = lines.at(-2);
  const summary =
    previous !== undefined && needsContext(last, previous)
      ? `${previous.trim()}: ${last.trim()}`
      : last.trim();
  const source = lines.map((line) => SOURCE.exec(line)).findLast((match) => match !== null);
  if (source === null || source === undefined) return { summary };
  const [, text, file, line] = source;
  return { summary, sourceLine: file === undefined ? (text as string) : `${file}:${line}` };
}

/**
 * A tab continues a BTF line; a context access was refused for the reason just before; so was a register, unless
 * the line before is only the instruction, which says less than the source line.
 */
function needsContext(line: string, previous: string): boolean {
  if (INSTRUCTION.test(previous) || SOURCE.test(previous)) return false;
  return line.startsWith("\t") || line.startsWith("invalid bpf_context access") || /^R\d/.test(line);
}
