/**
 * The plugin of @pulumi/command for a project of the tests: the real one where it can be installed, else the stand-in
 * beside this file. Says which, for titles and messages.
 */
import { cpSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { run } from "../command.js";
import type { PulumiProject } from "../pulumi.js";

export type CommandPlugin = "the real plugin" | "a stand-in for its plugin";

/** Makes @pulumi/command work in the project. */
export async function useCommandPlugin(project: PulumiProject): Promise<CommandPlugin> {
  const { directory, environment } = project;
  const path = "node_modules/@pulumi/command";
  cpSync(resolve(__dirname, "../../..", path), join(directory, path), { recursive: true });
  const words = ["plugin", "install", "resource", "command", "1.2.1"];
  const { code } = await run(project.command(...words), { cwd: directory, env: environment, check: false });
  if (code === 0) return "the real plugin";
  environment["PATH"] = `${__dirname}${delimiter}${environment["PATH"]}`;
  return "a stand-in for its plugin";
}
