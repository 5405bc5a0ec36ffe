/** What ties a dynamic resource in the state to this package: a frozen text, never a serialised closure. */

/** The engine's property that holds the provider of a dynamic resource. */
export const PROVIDER_KEY = "__provider";

/**
 * The SDK sets it to true where the program runs for an update, not for a preview: the engine calls check in both, and says
 * in neither which it is. Part of no inputs and no state.
 */
export const APPLYING_KEY = "__applying";

/**
 * The text. Every version of this package must serve every text that an earlier one wrote, because destroy and
 * refresh run what stands in the state: neither this text, the subpath nor `provider(kind)` may ever change.
 */
export function providerText(kind: string): string {
  return `exports.handler = () => require("pulumi-ebpf/provider/dynamic").provider(${JSON.stringify(kind)});`;
}

/** Type token of a kind while the dynamic adapter serves it. */
export function dynamicToken(kind: string): string {
  return `pulumi-nodejs:dynamic/ebpf:${kind}`;
}

/** Type token of a kind while the plugin serves it. */
export function pluginToken(kind: string): string {
  return `ebpf:index:${kind}`;
}

/** Kind of a resource of ours by its type token, whoever serves it; undefined for others' resources. */
export function kindOfToken(token: string): string | undefined {
  const prefix = [pluginToken(""), dynamicToken("")].find((start) => token.startsWith(start));
  return prefix === undefined ? undefined : token.slice(prefix.length);
}
