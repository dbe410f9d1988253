import eslint from "@eslint/js";
import pulumi from "@pulumi/eslint-plugin";
import { defineConfig } from "eslint/config";
import typescript from "typescript-eslint";

/** Refuses a folder's imports of what its place in the house forbids. */
function without(folder, ...patterns) {
  const message = `${folder}/ may not know it: move the code, or hand it in as plain data.`;
  return {
    files: [`${folder}/**/*.ts`],
    rules: { "no-restricted-imports": ["error", { patterns: [{ group: patterns, message }] }] },
  };
}

const PULUMI = "@pulumi/*";

export default defineConfig(
  { ignores: ["node_modules/", ".pulumi/", "coverage/", "reports/", "**/dist/", "examples/prisma/"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  eslint.configs.recommended,
  {
    files: ["**/*.cjs"],
    languageOptions: { globals: { console: "readonly", process: "readonly", __dirname: "readonly", __filename: "readonly" } },
  },
  {
    files: ["**/*.ts"],
    extends: [typescript.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { "@pulumi": pulumi },
    rules: {
      // Finds outputs by their type alias. OutputInstance and Input have none: restrict-template-expressions finds those.
      "@pulumi/no-output-in-template-literal": "error",
      eqeqeq: "error",
      "@typescript-eslint/no-deprecated": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      // Numbers sort as texts: [9, 10].sort() is [10, 9].
      "@typescript-eslint/require-array-sort-compare": "error",
      // Without it a rejection leaves the function past its catch and finally.
      "@typescript-eslint/return-await": ["error", "error-handling-correctness-only"],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      "@typescript-eslint/use-unknown-in-catch-callback-variable": "error",
    },
  },
  without("config", PULUMI, "pg", "**/images/*", "**/topology/*", "**/components/*", "**/setup/*", "**/agents/*", "**/router/*", "**/cli/*", "**/chaos/*"),
  without("images", PULUMI, "pg", "../*/*"),
  without("topology", PULUMI, "pg", "**/images/*", "**/components/*", "**/setup/*", "**/agents/*", "**/router/*", "**/cli/*", "**/chaos/*"),
  without("components", "pg", "**/setup/*", "**/agents/*", "**/router/*", "**/cli/*", "**/chaos/*"),
  without("setup", PULUMI, "**/components/*", "**/agents/*", "**/router/*", "!**/router/isNewer", "**/cli/*", "**/chaos/*"),
  without("agents", PULUMI, "**/images/*", "**/components/*", "**/setup/*", "**/router/*", "**/cli/*", "**/chaos/*"),
  without("router", PULUMI, "../*/*"),
  without("tenants", PULUMI, "**/images/*", "**/topology/*", "**/components/*", "**/setup/*", "**/agents/*", "**/cli/*", "**/chaos/*"),
  // Of the command line it has tables and the ways to Docker, Patroni and etcd.
  without("chaos", PULUMI, "**/components/*", "**/agents/*", "**/router/*", "**/blast/*", "**/cli/*", "!**/cli/docker", "!**/cli/run", "!**/cli/live", "!**/cli/patroniCluster", "!**/cli/etcdHealth", "!**/cli/table"),
  // The same of the command line as chaos/.
  without("blast", PULUMI, "**/components/*", "**/agents/*", "**/cli/*", "!**/cli/patroniCluster", "!**/cli/table"),
  without("cli", "**/components/*"),
);
