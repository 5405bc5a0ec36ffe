// Set-up, then a demo on hosts that are made for it: a firewall, the same run from git, or network policies.
//   node scripts/demo.mjs [firewall|gitops|network-policy]
import { runAfterSetUp } from "./run.mjs";

await runAfterSetUp("demo", "test/demo/main.ts", process.argv.slice(2));
