/** Directory that holds `pulumi` and its Node language host. Throws when set-up did not run. */
export function engineDirectory(): string;
