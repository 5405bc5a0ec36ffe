/** Interfaces that have come since somebody last looked, as udev notes them: an empty file each, named after it. */
import fs from "node:fs";
import path from "node:path";
import { type Roots, newInterfacesDirectory } from "./layout";

/** What is noted later is there for the next who looks: a note goes before it is acted upon. */
export function takeNewInterfaces(roots: Roots): string[] {
  const directory = newInterfacesDirectory(roots);
  if (!fs.existsSync(directory)) return [];
  const names = fs.readdirSync(directory);
  for (const name of names) fs.rmSync(path.join(directory, name), { force: true });
  return names;
}
