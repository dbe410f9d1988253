import { planBuiltImage, type BuiltImagePlan } from "./builtImage";

/** The path of the Dockerfile, relative to the project. */
export const PATRONI_DOCKERFILE = "assets/patroni/Dockerfile";

/** Plans the Patroni image on `base`, a PostgreSQL or Citus image, from the text of its Dockerfile. */
export function planPatroniImage(base: string, dockerfile: string): BuiltImagePlan {
  return planBuiltImage("patroni", { title: "Patroni image", base, dockerfile, remedy: "Set images.patroni to an image with Patroni" });
}
