// The rules that hold the architecture: who may import what. Style is Prettier's business.
import tseslint from "typescript-eslint";

/** Folders from left to right; a folder may import itself, what stands right of it, and `shared`. */
const layers = [
  "sdk",
  "provider/policy",
  "provider/cli",
  "provider/adapters",
  "provider/schema",
  "provider/functions",
  "provider/lifecycle",
  "provider/resources",
  "provider/sources",
  "provider/transport",
];
const shared = ["provider/protocol", "provider/btf", "provider/errors", "provider/network-policy"];

/** Which folder alone may import a package. */
const owners = {
  koffi: ["provider/bpf"],
  "@pulumi/*": ["sdk", "provider/adapters", "provider/policy"],
  "@pulumi/**": ["sdk", "provider/adapters", "provider/policy"],
  ssh2: ["provider/transport"],
  "ssh-config": ["provider/transport"],
  pacote: ["provider/transport"],
};

function forbidden(folder) {
  const index = layers.indexOf(folder);
  const folders = [
    ...(index < 0 ? layers : layers.slice(0, index)),
    // the agent's side is reached over the wire only
    ...(folder === "provider/agent" || folder === "provider/bpf" ? [] : ["provider/agent", "provider/bpf"]),
    ...(folder === "provider/bpf" ? ["provider/agent"] : []),
  ].filter((other) => other !== folder);
  return [
    ...folders.map((other) => ({
      regex: `^(\\.\\./)+(provider/|sdk/)?${other.replace("provider/", "").replace("sdk", "nodejs|sdk")}(/|\\.js|$)`,
      message: `${folder} may not import ${other}: imports point right (docs/architecture).`,
    })),
    ...Object.entries(owners)
      .filter(([, allowed]) => !allowed.includes(folder))
      .map(([name, allowed]) => ({
        // anchored: the package, not a file of ours with its name
        group: [`/${name}`],
        message: `only ${allowed.join(" and ")} may import ${name}`,
      })),
  ];
}

const folders = [...layers, ...shared, "provider/agent", "provider/bpf"];

export default tseslint.config(
  { ignores: ["dist/**", "node_modules/**", "examples/**/node_modules/**", "test/golden/**"] },
  ...tseslint.configs.recommended,
  {
    rules: {
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
    },
  },
  ...folders.map((folder) => ({
    files: [`${folder}/**/*.ts`, `${folder}.ts`],
    rules: { "no-restricted-imports": ["error", { patterns: forbidden(folder) }] },
  })),
  {
    files: ["scripts/**/*.mjs", "eslint.config.mjs", "test/**/*.js"],
    rules: { "@typescript-eslint/no-require-imports": "off" },
  },
);
