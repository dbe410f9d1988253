import { existsSync } from "node:fs";
import * as path from "node:path";
import { buildSync } from "esbuild";

/** The folder of this project's sources, or of what was compiled of them. */
const SOURCES = path.dirname(__dirname);

/**
 * A program of `agents/` with all that it imports, as the text of one CommonJS file. The text is the same wherever the
 * project lies: it names an image's content.
 *
 * @param program the program's path without its suffix, relative to the project's sources.
 */
export function bundle(program: string): string {
  const source = path.join(SOURCES, program);
  const { outputFiles } = buildSync({
    entryPoints: [`${source}${existsSync(`${source}.ts`) ? ".ts" : ".js"}`],
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    // Unminified, the text names the paths of modules on this machine.
    minify: true,
    legalComments: "none",
    // The driver asks for it only if it is told to.
    external: ["pg-native"],
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}
