// Builds what the operator's side delivers to hosts: dist/agent/agent.js, which starts main.js beside it, the eBPF program
// that judges by network policies, our libbpf per architecture, manifest.json. And what the engine starts, in one file each.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * `libraries`: path of libbpf.so.1 per architecture, null where there is none of our own.
 * `entry` and `directory` are main.js's and dist/agent unless a test brings its own.
 */
export async function bundleAgent({
  libraries = { x64: null, arm64: null },
  entry = join(root, "provider/agent/main.ts"),
  directory = join(root, "dist/agent"),
} = {}) {
  const packages = readJson("provider/transport/platform-packages.json");
  checkPins(packages);

  const scripts = { "agent.js": join(root, "provider/agent/start.ts"), "main.js": entry };
  for (const [name, source] of Object.entries(scripts)) {
    writeChanged(join(directory, name), await bundled(source, { target: "node18", plugins: [nativeKoffi] }));
  }

  // compiled before; program and compiler of a host are then always of one build
  const program = "network-policy.bpf.o";
  writeChanged(
    join(directory, program),
    readFileSync(join(root, "dist/provider/modules/network-policy", program)),
  );

  const manifest = {};
  for (const [architecture, { koffi }] of Object.entries(packages)) {
    const files = [...Object.keys(scripts), program].map((path) => ({ ...describe(directory, path), path }));
    if (libraries[architecture]) {
      const source = join(architecture, "libbpf.so.1");
      writeChanged(join(directory, source), readFileSync(libraries[architecture]));
      files.push({ ...describe(directory, source), path: "libbpf.so.1" });
    }
    for (const { path, sha256, size } of koffi.files) {
      files.push({
        path: join("node_modules", koffi.name, path),
        sha256,
        size,
        package: "koffi",
        source: path,
      });
    }
    manifest[architecture] = { digest: digest(files), files };
  }
  writeChanged(join(directory, "manifest.json"), Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`));
  return manifest;
}

/**
 * The dynamic provider and the plugin, over what tsc made of them: some 300 files of ours and of the packages named here
 * take 130 ms to load, one takes 45. What is loaded late, or is the engine's, stays a package.
 */
export async function bundleProvider() {
  const { dependencies, peerDependencies } = readJson("package.json");
  const packages = Object.keys({ ...dependencies, ...peerDependencies, "pulumi-ebpf": "" });
  const external = packages.filter((name) => !["papaparse", "vscode-jsonrpc", "zod"].includes(name));
  for (const name of ["provider/adapters/dynamic", "provider/adapters/plugin/main"]) {
    const source = await bundled(join(root, `${name}.ts`), { target: "node20", external });
    writeChanged(join(root, "dist", `${name}.js`), source);
  }
}

async function bundled(entry, { target, external = [], plugins = [] }) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    platform: "node",
    target,
    format: "cjs",
    minifyWhitespace: true,
    legalComments: "inline",
    charset: "ascii",
    external,
    // what is loaded late is CommonJS, too, and Node's other loader takes 10 ms to come up
    supported: { "dynamic-import": false },
    plugins: [builtins, ...plugins],
    logLevel: "warning",
    write: false,
  });
  return outputFiles[0].contents;
}

/** Of these functions alone are used, and few sessions call them: they are required at the first call. */
const late = ["node:child_process", "node:timers/promises"];

/**
 * Node's own modules, each required once: esbuild alone would copy every property of one for each file that imports its
 * default, a fifth of what the agent's start takes beside Node's own.
 */
const builtins = {
  name: "builtins",
  setup({ onResolve, onLoad }) {
    const namespace = "builtin";
    onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === "import-statement" ? { path, namespace } : undefined,
    );
    onLoad({ filter: /^/, namespace }, ({ path }) => {
      const names = Object.keys(createRequire(import.meta.url)(path)).filter((name) => name !== "default");
      if (late.includes(path)) {
        const calls = names.map(
          (name) => `export const ${name} = (...values) => require("${path}").${name}(...values);`,
        );
        return { contents: calls.join("\n") };
      }
      // pure, so that what nobody imports is left out: a host's Node may not have it
      const exported = names.map(
        (name) => `export const ${name} = /* @__PURE__ */ (() => builtin.${name})();`,
      );
      const contents = [`const builtin = require("${path}");`, "export default builtin;", ...exported];
      return { contents: contents.join("\n") };
    });
  },
};

/**
 * What koffi requires for each platform: the native file itself, delivered beside main.js in node_modules. The package's
 * own way to it is 200 lines that no code cache holds, and comes to the same: the libc that Node is linked to decides.
 */
const nativeKoffi = {
  name: "native-koffi",
  setup({ onResolve, onLoad }) {
    const namespace = "native-koffi";
    onResolve({ filter: /^@koromix\// }, ({ path }) =>
      /-linux-(x64|arm64)$/.test(path) ? { path, namespace } : { path, external: true },
    );
    onLoad({ filter: /^/, namespace }, ({ path }) => ({
      contents: `
        const { closeSync, openSync, readSync } = require("node:fs");
        const head = Buffer.alloc(4096); // names the dynamic linker
        const node = openSync(process.execPath, "r");
        readSync(node, head);
        closeSync(node);
        const libc = head.includes("/ld-musl-") ? "musl" : "linux";
        const file = "./node_modules/${path}/" + libc + "_${path.split("-").at(-1)}/koffi.node";
        module.exports = require(file);`,
    }));
  },
};

/** A build that changes nothing touches nothing: a program that reads the bundle meanwhile is not disturbed. */
function writeChanged(path, bytes) {
  if (existsSync(path) && readFileSync(path).equals(bytes)) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.new`, bytes);
  renameSync(`${path}.new`, path);
}

function describe(directory, source) {
  const bytes = readFileSync(join(directory, source));
  return { sha256: createHash("sha256").update(bytes).digest("hex"), size: bytes.length, source };
}

/** sha256 of the lines that sha256sum would print; see Bundle in provider/transport/bundle.ts. */
function digest(files) {
  const lines = files.map(({ sha256, path }) => `${sha256}  ${path}\n`);
  return createHash("sha256").update(lines.join("")).digest("hex");
}

function checkPins(packages) {
  const lock = readJson("package-lock.json").packages;
  for (const { koffi } of Object.values(packages)) {
    const locked = lock[`node_modules/${koffi.name}`];
    if (locked?.version === koffi.version && locked.integrity === koffi.integrity) continue;
    throw new Error(
      `platform-packages.json pins ${koffi.name} ${koffi.version}, package-lock.json has ${locked?.version}: ` +
        "run node scripts/platform-packages.mjs",
    );
  }
}

function readJson(path) {
  return JSON.parse(readFileSync(join(root, path), "utf8"));
}
