/**
 * The Pulumi engine as the demo runs it.
 *
 * Owns: the log of everything that it said, and how a command is shown with what it did. Does not own: the project.
 */
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { Outcome, PulumiProject } from "../support/pulumi.js";
import { plural, type Screen } from "./screen.js";

export type Verb = "preview" | "up" | "refresh" | "destroy";

/** Everything that the engine said in the last demo. */
export const engineLog = join(
  process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
  "pulumi-ebpf",
  "demo.log",
);

export class Engine {
  constructor(
    private readonly project: PulumiProject,
    private readonly screen: Screen,
  ) {
    mkdirSync(dirname(engineLog), { recursive: true });
    writeFileSync(engineLog, "");
  }

  async run(verb: Verb): Promise<Outcome> {
    const outcome = await this.attempt(verb);
    if (outcome.code === 0) return outcome;
    throw new Error(`pulumi ${verb}: exit status ${outcome.code}`);
  }

  /** Whatever comes of it. */
  async attempt(verb: Verb): Promise<Outcome> {
    const words = verb === "preview" ? "pulumi preview" : `pulumi ${verb} --yes --skip-preview`;
    const done = this.screen.command(words);
    const outcome = await this.project[verb]({ check: false });
    appendFileSync(engineLog, `$ ${words}\n${outcome.stdout}${outcome.stderr}\n`);
    done(outcome.code === 0 ? summary(verb, outcome) : "failed");
    return outcome;
  }
}

function summary(verb: Verb, { changes }: Outcome): string {
  const words: Record<string, string> =
    verb === "preview"
      ? { create: "to create", update: "to update", delete: "to delete" }
      : { create: "created", update: verb === "refresh" ? "drifted" : "updated", delete: "deleted" };
  const parts = Object.entries(words).flatMap(([operation, word]) => {
    const stack = operation === "update" ? 0 : 1; // the stack itself is created and deleted too
    const number = (changes[operation] ?? 0) - stack;
    return number > 0 ? [`${number} ${word}`] : [];
  });
  return parts.join(", ") || plural(0, "change");
}
