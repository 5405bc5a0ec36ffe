// Set-up, then the tests. Its last line is `N passed, N failed`.
//   node scripts/test.mjs [unit] [kernel] [transport] [e2e] [vm] [--all] [--grep TEXT]
// Without a phase: all but vm. e2e/plugin is what test/e2e/plugin has, and so on. --all also runs what is too slow for
// every day (EBPF_TEST_ALL=1).
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { setUp } from "./setup.mjs";
import { root, SetupError } from "./step.mjs";

/**
 * Folders of test/ in their order. `minutes`: after them one is stuck, about four times what it takes on two cores that do
 * nothing else; with --all a second number. `parallel`: two files at once, as most of them keep one processor busy;
 * `first` are those that take longest, lest one runs on alone in the end. `setup` has a mochaGlobalSetup of the phase.
 */
const phases = {
  unit: { minutes: [5, 10] },
  kernel: {
    minutes: [20, 90],
    parallel: true,
    first: ["network-policy/differential.test.ts", "agent/network-policy/traffic.test.ts"],
  },
  transport: { minutes: [15, 15] },
  e2e: { minutes: [50, 120], parallel: true },
  // a machine is emulated on one processor
  vm: {
    minutes: [60, 60],
    parallel: true,
    first: ["linux-sid.test.ts"],
    setup: "./test/vm/machine/images.ts",
  },
};

const JOBS = Math.min(2, availableParallelism());

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { all: { type: "boolean" }, grep: { type: "string" } },
  });
  const all = values.all ?? false;
  const unknown = positionals.filter(
    (part) => !(phaseOf(part) in phases) || !existsSync(join(root, "test", part)),
  );
  if (unknown.length > 0) {
    throw new SetupError(`no phase ${unknown.join(", ")}; there are ${Object.keys(phases).join(", ")}`);
  }
  const chosen = positionals.length > 0 ? positionals : Object.keys(phases).filter((name) => name !== "vm");
  const wanted = new Set(chosen.map(phaseOf));
  const engine = wanted.has("e2e");
  await setUp({
    machines: wanted.has("vm"),
    databases: engine,
    languages: engine ? ["yaml", ...(all ? ["python", "go"] : [])] : [],
    generators: wanted.has("unit"),
  });
  const total = { passed: 0, failed: 0 };
  for (const part of chosen) {
    const start = performance.now();
    console.log(`\n== ${part}`);
    const { passed, failed } = await runPart(part, { all, grep: values.grep });
    total.passed += passed;
    total.failed += failed;
    const seconds = ((performance.now() - start) / 1000).toFixed(1);
    console.log(`== ${part}: ${passed} passed, ${failed} failed in ${seconds} s`);
  }
  process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;
  return total;
}

function phaseOf(part) {
  return part.split("/", 1)[0];
}

/** What a killed run could not remove itself. */
function sweepDeadRuns() {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^ebpf-test-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(tmpdir(), name), { recursive: true });
  }
}

/**
 * A pending test counts as failed; so does a part that ends without a summary, or without a single test. All temporary
 * files are in a directory of the part's own, so that what is left in there is its own, too.
 */
async function runPart(part, { all, grep }) {
  sweepDeadRuns();
  const directory = mkdtempSync(join(tmpdir(), `ebpf-test-${process.pid}-`));
  try {
    chmodSync(directory, 0o711); // servers that refuse to run as root have directories of their own in it
    const summary = join(directory, "summary.json");
    const status = await mocha(part, grep, phases[phaseOf(part)].minutes[all ? 1 : 0], {
      TMPDIR: directory,
      PULUMI_EBPF_TEST_SUMMARY: summary,
      ...(all ? { EBPF_TEST_ALL: "1" } : {}),
    });
    if (!existsSync(summary)) return { passed: 0, failed: 1 };
    const { passed, failed, pending } = JSON.parse(readFileSync(summary, "utf8"));
    const none = passed + failed + pending === 0 && grep === undefined;
    const failures = failed + pending + (none ? 1 : 0);
    return { passed, failed: failures === 0 && status !== 0 ? 1 : failures };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Below test/<part>, in the order in which they start. */
function testFiles(part) {
  const { first = [] } = phases[phaseOf(part)];
  const files = readdirSync(join(root, "test", part), { recursive: true })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `test/${part}/${name}`)
    .sort();
  const longest = first.map((name) => `test/${phaseOf(part)}/${name}`).filter((file) => files.includes(file));
  return [...new Set([...longest, ...files])];
}

function mocha(part, grep, minutes, env) {
  const phase = phaseOf(part);
  const { parallel = false, setup } = phases[phase];
  const args = [
    join(root, "node_modules/mocha/bin/mocha.js"),
    ...["--require", "tsx/cjs"],
    ...(phase === "unit" ? [] : ["--require", "./test/support/residue.ts"]),
    ...(setup === undefined ? [] : ["--require", setup]),
    ...(parallel && JOBS > 1 ? ["--parallel", "--jobs", `${JOBS}`] : []),
    ...["--reporter", "./test/support/reporter.ts"],
    ...(grep === undefined ? [] : ["--grep", grep]),
    ...testFiles(part),
  ];
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: "inherit",
    });
    const timer = setTimeout(() => {
      console.log(`== ${part}: still running after ${minutes} minutes, ended`);
      child.kill("SIGKILL");
    }, minutes * 60_000);
    child.once("error", fail);
    child.once("close", (code) => {
      clearTimeout(timer);
      done(code);
    });
  });
}

try {
  const { passed, failed } = await main();
  console.log(`\n${passed} passed, ${failed} failed`);
} catch (error) {
  console.error(error instanceof SetupError ? `test: ${error.message}` : error);
  console.log("\n0 passed, 1 failed");
  process.exitCode = 1;
}
