/**
 * The agent's bundle: its files, the digest that names it on every host, and their compressed bytes.
 * Owns: dist/agent/manifest.json as scripts/bundle.mjs wrote it, and the cache of compressed files. Does not own: the
 * upload (delivery.ts), packages (packages.ts).
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { cacheDirectory } from "../cache";
import { EbpfError } from "../errors";
import { packageRoot } from "../version";
import { type Architecture, extractPackage, platformPackages, type PinnedPackage } from "./packages";

export interface BundleFile {
  /** Below the bundle's directory on the host. */
  path: string;
  sha256: string;
  /** Bytes. */
  size: number;
  /** Below dist/agent, or in the package. */
  source: string;
  package?: "koffi" | "node";
}

export interface Bundle {
  /** sha256 of the files' `<sha256>  <path>` lines. */
  digest: string;
  files: BundleFile[];
}

/** `plain`: the host has Node. `node`: the bundle brings it. */
export type Variant = "plain" | "node";

/** Path of the Node executable in a bundle that brings one. */
export const NODE_PATH = "node";

/** How long compressed files stay in memory, for the next host that needs them. */
const KEEP_MS = 30_000;

export class Bundles {
  private readonly recent = new Map<string, Promise<Buffer>>();

  private constructor(
    private readonly directory: string,
    private readonly bundles: Record<Architecture, Record<Variant, Bundle>>,
  ) {}

  /** `directory`: dist/agent, or what bundleAgent wrote elsewhere. */
  static async load(directory = join(packageRoot(), "dist", "agent")): Promise<Bundles> {
    const path = join(directory, "manifest.json");
    let manifest: Record<Architecture, Bundle>;
    try {
      manifest = JSON.parse(await readFile(path, "utf8")) as Record<Architecture, Bundle>;
    } catch (error) {
      throw new EbpfError(
        "transport",
        `read the agent's bundle ${path}: ${(error as Error).message}`,
        { phase: "deliver" },
        { cause: error, remedy: "reinstall pulumi-ebpf; in a clone run `npm run build`" },
      );
    }
    return new Bundles(directory, {
      x64: variants("x64", manifest.x64),
      arm64: variants("arm64", manifest.arm64),
    });
  }

  get(architecture: Architecture, variant: Variant): Bundle {
    return this.bundles[architecture][variant];
  }

  /** A file's bytes, gzipped. Fetched, checked and compressed once, then taken from the cache. */
  compressed(architecture: Architecture, file: BundleFile): Promise<Buffer> {
    const { sha256 } = file;
    let bytes = this.recent.get(sha256);
    if (bytes === undefined) {
      this.recent.set(sha256, (bytes = this.load(architecture, file)));
      const forget = (): void => void this.recent.delete(sha256);
      bytes.then(() => setTimeout(forget, KEEP_MS).unref(), forget);
    }
    return bytes;
  }

  private async load(architecture: Architecture, file: BundleFile): Promise<Buffer> {
    const cached = join(cacheDirectory("packages"), `${file.sha256}.gz`);
    const hit = await readFile(cached).catch(() => undefined);
    if (hit !== undefined && (await unpacksTo(hit, file.sha256))) return hit;

    const bytes = await this.read(architecture, file);
    const compressed = await promisify(gzip)(bytes);
    await mkdir(dirname(cached), { recursive: true });
    const temporary = `${cached}.${randomBytes(6).toString("hex")}`;
    await writeFile(temporary, compressed);
    await rename(temporary, cached);
    return compressed;
  }

  private async read(architecture: Architecture, file: BundleFile): Promise<Buffer> {
    if (file.package === undefined) return checked(await readFile(join(this.directory, file.source)), file);
    const pinned = platformPackages[architecture][file.package];
    const installed = await readInstalled(pinned, file);
    if (installed !== undefined) return installed;
    const directory = await mkdtemp(join(tmpdir(), "pulumi-ebpf-"));
    try {
      await extractPackage(pinned, directory);
      return checked(await readFile(join(directory, file.source)), file);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }
}

/** npm has installed the native package of this machine's own platform beside us. */
async function readInstalled({ name }: PinnedPackage, file: BundleFile): Promise<Buffer | undefined> {
  try {
    const root = dirname(require.resolve(`${name}/package.json`));
    return checked(await readFile(join(root, file.source)), file);
  } catch {
    return undefined;
  }
}

function variants(architecture: Architecture, plain: Bundle): Record<Variant, Bundle> {
  const [node] = platformPackages[architecture].node.files;
  const { sha256, size, path } = node!;
  const files: BundleFile[] = [
    ...plain.files,
    { path: NODE_PATH, sha256, size, source: path, package: "node" },
  ];
  return { plain, node: { files, digest: hash(Buffer.from(checksums(files))) } };
}

/** As sha256sum prints them, and as `sha256sum -c` reads them. */
export function checksums(files: BundleFile[]): string {
  return files.map(({ sha256, path }) => `${sha256}  ${path}\n`).join("");
}

function checked(bytes: Buffer, { path, sha256 }: BundleFile): Buffer {
  if (hash(bytes) === sha256) return bytes;
  throw new EbpfError(
    "transport",
    `read ${path} of the agent's bundle: its sha256 is not ${sha256}`,
    { phase: "deliver" },
    { remedy: "reinstall pulumi-ebpf; in a clone run `npm run build`" },
  );
}

async function unpacksTo(compressed: Buffer, sha256: string): Promise<boolean> {
  return promisify(gunzip)(compressed).then(
    (bytes) => hash(bytes) === sha256,
    () => false,
  );
}

function hash(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
