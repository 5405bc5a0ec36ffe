// Set-up, then a demo on hosts that are made for it: a firewall, or the same run from git.
//   node scripts/demo.mjs [firewall|gitops]
import { runAfterSetUp } from "./run.mjs";

await runAfterSetUp("demo", "test/demo/main.ts", process.argv.slice(2));
