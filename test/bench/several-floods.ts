/** A host that takes several floods at once: the file of one that runs cannot be written again. */
import { type TestHost } from "../support/host.js";

export function severalFloods(host: TestHost): TestHost {
  const installed = new Map<string, Promise<string>>();
  const install = (file: string): Promise<string> => {
    const path = installed.get(file) ?? host.install(file);
    installed.set(file, path);
    return path;
  };
  return Object.assign(Object.create(host) as TestHost, { install });
}
