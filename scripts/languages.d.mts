/** Directory that holds Pulumi's language hosts, for PATH; the engine's own where it is ours. */
export function languageDirectory(): string;
