/**
 * `graph [STACK]`: what a stack has on which hosts, as SVG, or as JSON.
 *
 * Owns: where the state comes from. Does not own: what it means (model.ts), the picture (layout.ts, svg.ts). It asks no
 * host: drift is what the last refresh found.
 */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { text as textOf } from "node:stream/consumers";
import { promisify } from "node:util";
import { EbpfError } from "../../errors";
import type { Command } from "../command";
import { graphOf } from "./model";
import { svgOf } from "./svg";

export { graphOf } from "./model";
export { svgOf } from "./svg";

export const graph: Command = {
  operands: ["[STACK]"],
  options: ["file"],
  async run({ operands: [stack], options: { file } }) {
    const found = graphOf(
      parse(file === undefined ? await exported(stack) : await read(file), file ?? "the state"),
    );
    return { well: true, text: svgOf(found).trimEnd(), json: found };
  },
};

/** Bytes of a state. */
const MOST = 1 << 30;

async function exported(stack: string | undefined): Promise<string> {
  const words = ["stack", "export", "--non-interactive", ...(stack === undefined ? [] : ["--stack", stack])];
  try {
    return (await promisify(execFile)("pulumi", words, { maxBuffer: MOST })).stdout;
  } catch (thrown) {
    const { code, stderr = "" } = thrown as { code?: unknown; stderr?: string };
    if (code === "ENOENT") {
      const remedy = "install it, or give the state by --file";
      throw new EbpfError(
        "not-found",
        "export the stack: there is no pulumi on PATH",
        { what: "file", name: "pulumi" },
        { remedy },
      );
    }
    const cause = stderr
      .replace(/^error: /m, "")
      .trim()
      .split("\n")[0]!;
    throw new EbpfError("invalid", `export the stack ${stack ?? "that is selected"}: ${cause}`, {});
  }
}

async function read(file: string): Promise<string> {
  if (file === "-") return textOf(process.stdin);
  try {
    return await readFile(file, "utf8");
  } catch (thrown) {
    const { code = "" } = thrown as NodeJS.ErrnoException;
    throw new EbpfError("not-found", `read ${file}: ${code}`, { what: "file", name: file });
  }
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new EbpfError(
      "invalid",
      `read ${name}: it is not JSON`,
      {},
      { remedy: "give what `pulumi stack export` prints" },
    );
  }
}
