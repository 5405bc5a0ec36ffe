/** Python's packages as a user installs them: pulumi and the SDK of this clone, in a virtual environment outside it. */
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { run } from "./command.js";

const sdk = resolve(__dirname, "../../sdk/python");
const cache = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "pulumi-ebpf");

/** Directory to put first on PATH. Made once for each version of the SDK. */
export async function pythonEnvironment(): Promise<string> {
  const hash = createHash("sha256");
  const files = readdirSync(sdk, { recursive: true, encoding: "utf8" }).sort();
  for (const file of files.filter((name) => statSync(join(sdk, name)).isFile())) {
    hash.update(`${file}\0`).update(readFileSync(join(sdk, file)));
  }
  const directory = join(cache, `python-${hash.digest("hex").slice(0, 12)}`);
  const done = join(directory, "done"); // a virtual environment cannot be renamed
  if (existsSync(done)) return join(directory, "bin");
  rmSync(directory, { recursive: true, force: true });
  const copy = mkdtempSync(join(tmpdir(), "ebpf-python-sdk-")); // pip builds within the source
  try {
    cpSync(sdk, copy, { recursive: true });
    await run(["python3", "-m", "venv", directory]);
    await run([join(directory, "bin/pip"), "install", "--quiet", copy], { timeoutSeconds: 300 });
    mkdirSync(done);
    return join(directory, "bin");
  } finally {
    rmSync(copy, { recursive: true });
  }
}
