/** Why an operation on tenants ended: one sentence for a person, which names the tenant or cluster and a way on, and holds no secret. */
export class TenantError extends Error {
  constructor(sentence: string, options?: ErrorOptions) {
    super(sentence, options);
    this.name = "TenantError";
  }
}
