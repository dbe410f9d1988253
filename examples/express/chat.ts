import express, { type Express, type NextFunction, type Request, type Response } from "express";
import { RouterError, type Router } from "@citus-sharding/tenant-router";

/** A middleware: what a request does belongs to the room in its path. */
function room(router: Router): (request: Request<{ room: string }>, response: Response, next: NextFunction) => void {
  return (request, _, next) => router.run(request.params.room, () => next());
}

/** Chat rooms over HTTP. Handlers use `router.pool`, or an ORM on it, and name no tenant. */
export function chat(router: Router): Express {
  const app = express();
  app.use(express.json());
  app.use("/rooms/:room", room(router));

  app.get("/rooms/:room/messages", async (request, response) => {
    const { rows } = await router.pool.query<{ body: string }>("SELECT body FROM messages WHERE room_id = $1 AND user_id = $2 ORDER BY message_id", [request.params.room, request.query["user"]]);
    response.json(rows.map(({ body }) => body));
  });

  // One statement for each message, or a transaction for several.
  app.post("/rooms/:room/messages", async (request, response) => {
    const { user, bodies } = request.body as { user: number; bodies: string[] };
    const insert = "INSERT INTO messages (room_id, user_id, body) VALUES ($1, $2, $3)";
    if (bodies.length === 1) await router.pool.query(insert, [request.params.room, user, bodies[0]]);
    else
      await router.tenant.transaction(async (tx) => {
        for (const body of bodies) await tx.query(insert, [request.params.room, user, body]);
      });
    response.status(201).end();
  });

  // What was certainly not applied may be sent again.
  app.use((error: unknown, _request: Request, response: Response, next: NextFunction) => {
    if (!(error instanceof RouterError)) return next(error);
    response.status(error.code === "CONFIGURATION" ? 400 : 503).json({ error: error.code, applied: error.applied });
  });
  return app;
}
