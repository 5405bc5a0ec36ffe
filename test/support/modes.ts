/** In which modes of the provider a suite runs. */
export type Mode = "dynamic" | "plugin";

const modes: readonly Mode[] = ["dynamic", "plugin"];

/**
 * Both under `npm run test:all`; `everyDay` lists those of `npm test`. The environment's PULUMI_EBPF_TEST_MODE chooses
 * one for all.
 */
export function modesUnderTest(everyDay: readonly Mode[] = ["dynamic"]): readonly Mode[] {
  const chosen = process.env["PULUMI_EBPF_TEST_MODE"];
  if (chosen === undefined || chosen === "") return process.env["EBPF_TEST_ALL"] ? modes : everyDay;
  if (isMode(chosen)) return [chosen];
  throw new Error(`PULUMI_EBPF_TEST_MODE is "${chosen}", not one of ${modes.join(", ")}`);
}

function isMode(text: string): text is Mode {
  return (modes as readonly string[]).includes(text);
}
