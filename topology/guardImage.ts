import { planBuiltImage, type BuiltImagePlan } from "./builtImage";

/** The path of the Dockerfile, relative to the project. */
export const GUARD_DOCKERFILE = "assets/guard/Dockerfile";

/** The guard's program, a path without its suffix relative to the project's sources. */
export const GUARD_PROGRAM = "agents/guard/main";

/** Plans the guard's image on `base`, a Debian-based Node.js image, from the texts of its Dockerfile and its bundled program. */
export function planGuardImage(base: string, dockerfile: string, bundle: string): BuiltImagePlan {
  return planBuiltImage("guard", { title: "guard's image", base, dockerfile, program: GUARD_PROGRAM, remedy: "Set images.node to a Debian-based image with Node.js" }, bundle);
}
