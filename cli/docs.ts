import { readFileSync, writeFileSync } from "node:fs";
import * as path from "node:path";
import { withReference } from "../config/reference";

/* `npm run docs`: writes the settings' reference into the README. */

const readme = path.join(__dirname, "..", "README.md");
writeFileSync(readme, withReference(readFileSync(readme, "utf8")));
