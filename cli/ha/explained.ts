import { SetupError } from "../../setup/setupError";
import { Failure } from "../failure";

/** Work that is shared with the set-up; the way on that its errors name becomes this command's. */
export async function explained<Result>(work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof SetupError ? new Failure(`${error.message.replace("run the update again", "run this command again")}.`) : error;
  }
}
