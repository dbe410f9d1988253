/*
 * Chat rooms on the active-active stack, as an application uses them:
 *
 *     npm run up -- active-active
 *     A="$(npm run -s uri -- active-active a)" B="$(npm run -s uri -- active-active b)" npx tsx examples/tenant-router/rooms.ts
 */
import { createRouter, RouterError } from "@citus-sharding/tenant-router";

async function main(): Promise<void> {
  const router = await createRouter({ clusters: { a: { connectionString: process.env["A"] }, b: { connectionString: process.env["B"] } } });
  router.on("down", (cluster) => console.log(`cluster ${cluster} is down; rooms of the others go on`));
  try {
    for (const id of [1, 2, 3, 4]) {
      // Everything of a room goes to the cluster that it lives in, wherever that is at the moment.
      const room = router.for(id);
      await room.transaction(async (tx) => {
        await tx.query("INSERT INTO rooms (room_id, name) VALUES ($1, $2) ON CONFLICT (room_id) DO NOTHING", [id, `Room ${id}`]);
        await tx.query("INSERT INTO messages (room_id, user_id, body) VALUES ($1, $2, $3)", [id, 1, "Hello"]);
      });
      const { rows } = await room.query<{ messages: string }>("SELECT count(*) AS messages FROM messages WHERE room_id = $1", [id]);
      const { home } = await router.locate(id);
      console.log(`room ${id} lives in ${home} and has ${rows[0]?.messages ?? "no"} messages`);
    }
    // A question about all rooms asks every cluster, and says which did not answer. A room that moves has rows in two: here() counts it once.
    const { rows, missing } = await router.all<{ rooms: string }>((here) => `SELECT count(*) AS rooms FROM rooms WHERE ${here("room_id")}`);
    for (const { cluster, row } of rows) console.log(`${cluster} has ${row.rooms} rooms`);
    for (const { cluster } of missing) console.log(`${cluster} did not answer`);
  } catch (error) {
    // Where a cluster is down only its rooms have to wait. `applied` says whether to read before you repeat the statement.
    if (!(error instanceof RouterError)) throw error;
    console.log(`${error.message}; applied: ${error.applied}`);
  } finally {
    await router.end();
  }
}

void main();
