/** Mocha's spec reporter; also writes `{ passed, failed, pending }` to the file $PULUMI_EBPF_TEST_SUMMARY. */
import { writeFileSync } from "node:fs";
import Mocha from "mocha";

export = class SummaryReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options);
    runner.once("end", () => {
      const { passes, failures, pending } = this.stats;
      const file = process.env["PULUMI_EBPF_TEST_SUMMARY"];
      if (file !== undefined)
        writeFileSync(file, JSON.stringify({ passed: passes, failed: failures, pending }));
    });
  }
};
