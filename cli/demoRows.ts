/** The first id of the demo's rooms, users and messages: far from any that an application counts up to. */
export const FIRST_ID = 9_000_000_000_000;
/** Rooms of the demo; each has two members and one message. */
export const ROOMS = 10_000;
const MEMBERS_PER_ROOM = 2;
const USERS = 5000;
/** No multiple of the number of users, so that the members of a room are different ones. */
const USER_STRIDE = 2503;
const BEGINNING = Date.UTC(2026, 0, 1);

/** A table that the demo fills. */
export interface DemoTable {
  readonly table: string;
  readonly columns: readonly string[];
  /** Rows in COPY's text format. */
  readonly rows: readonly string[];
}

/** The ids of the demo's rooms, in order. */
export function demoRooms(): number[] {
  return Array.from({ length: ROOMS }, (_, room) => FIRST_ID + room);
}

/** The demo's rows of some of its rooms, by their ids. The same at every call. */
export function demoTables(ids: readonly number[]): DemoTable[] {
  const rooms = ids.map((room) => room - FIRST_ID);
  const time = (room: number): string => new Date(BEGINNING + room * 1000).toISOString();
  return [
    { table: "rooms", columns: ["room_id", "name", "created_at"], rows: rooms.map((room) => line(id(room), `Room ${room + 1}`, time(room))) },
    {
      table: "room_members",
      columns: ["room_id", "user_id", "joined_at"],
      rows: rooms.flatMap((room) => Array.from({ length: MEMBERS_PER_ROOM }, (_, member) => line(id(room), id(user(room, member)), time(room)))),
    },
    {
      table: "messages",
      columns: ["room_id", "message_id", "user_id", "body", "sent_at"],
      rows: rooms.map((room) => line(id(room), id(room), id(user(room, 0)), `Hello from user ${user(room, 0) + 1} in room ${room + 1}.`, time(room))),
    },
  ];
}

function user(room: number, member: number): number {
  return (room * 7 + member * USER_STRIDE) % USERS;
}

function id(number: number): string {
  return String(FIRST_ID + number);
}

function line(...values: readonly string[]): string {
  return `${values.join("\t")}\n`;
}
