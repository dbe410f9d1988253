/** Why a command cannot go on, for the person who ran it: one clear sentence and a way on. Holds no secret. */
export class Failure extends Error {
  constructor(sentence: string) {
    super(sentence);
    this.name = "Failure";
  }
}
