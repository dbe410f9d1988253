/*
 * PostgreSQL's logical replication messages, protocol version 1 (https://www.postgresql.org/docs/17/protocol-logicalrep-message-formats.html).
 * The libraries that read them turn values into JavaScript's, which loses microseconds and digits; a move needs the texts as they are.
 */

/** A value as PostgreSQL sends it; null is NULL, undefined a large value that an update did not change and that is not sent. */
export type Value = string | null | undefined;

/** A table as a change names it. */
export interface Relation {
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly { readonly name: string; readonly key: boolean }[];
}

/** What a message says. */
export type Change =
  | { readonly kind: "begin"; readonly commitLsn: bigint }
  | { readonly kind: "commit" }
  | { readonly kind: "relation"; readonly id: number; readonly relation: Relation }
  | { readonly kind: "insert"; readonly relation: number; readonly row: readonly Value[] }
  /** `old` is the key before, if it changed. */
  | { readonly kind: "update"; readonly relation: number; readonly old?: readonly Value[]; readonly row: readonly Value[] }
  | { readonly kind: "delete"; readonly relation: number; readonly old: readonly Value[] }
  | { readonly kind: "truncate" }
  | { readonly kind: "message"; readonly prefix: string; readonly content: string }
  /** Types, origins and what a later version adds: nothing that a move has to do. */
  | { readonly kind: "other" };

/** Reads one message of pgoutput. @throws RangeError if it ends too soon. */
export function parseChange(message: Buffer): Change {
  const reader = new Reader(message);
  switch (reader.character()) {
    case "B":
      return { kind: "begin", commitLsn: reader.int64() };
    case "C":
      return { kind: "commit" };
    case "R":
      return { kind: "relation", id: reader.int32(), relation: relation(reader) };
    case "I": {
      const id = reader.int32();
      reader.character();
      return { kind: "insert", relation: id, row: tuple(reader) };
    }
    case "U": {
      const id = reader.int32();
      if (reader.character() === "N") return { kind: "update", relation: id, row: tuple(reader) };
      const old = tuple(reader);
      reader.character();
      return { kind: "update", relation: id, old, row: tuple(reader) };
    }
    case "D": {
      const id = reader.int32();
      reader.character();
      return { kind: "delete", relation: id, old: tuple(reader) };
    }
    case "T":
      return { kind: "truncate" };
    case "M": {
      reader.int8();
      reader.int64();
      const prefix = reader.text();
      return { kind: "message", prefix, content: reader.bytes(reader.int32()).toString("utf8") };
    }
    default:
      return { kind: "other" };
  }
}

function relation(reader: Reader): Relation {
  const [schema, name] = [reader.text(), reader.text()];
  reader.int8();
  const columns = Array.from({ length: reader.int16() }, () => {
    const key = (reader.int8() & 1) === 1;
    const column = { name: reader.text(), key };
    reader.int32();
    reader.int32();
    return column;
  });
  return { schema, name, columns };
}

function tuple(reader: Reader): Value[] {
  return Array.from({ length: reader.int16() }, () => {
    switch (reader.character()) {
      case "n":
        return null;
      case "u":
        return undefined;
      default:
        return reader.bytes(reader.int32()).toString("utf8");
    }
  });
}

class Reader {
  private at = 0;

  constructor(private readonly buffer: Buffer) {}

  character(): string {
    return String.fromCharCode(this.int8());
  }

  int8(): number {
    return this.buffer.readUInt8(this.move(1));
  }

  int16(): number {
    return this.buffer.readInt16BE(this.move(2));
  }

  int32(): number {
    return this.buffer.readInt32BE(this.move(4));
  }

  int64(): bigint {
    return this.buffer.readBigUInt64BE(this.move(8));
  }

  bytes(length: number): Buffer {
    const from = this.move(length);
    if (from + length > this.buffer.length) throw new RangeError("a replication message ends too soon");
    return this.buffer.subarray(from, from + length);
  }

  text(): string {
    const end = this.buffer.indexOf(0, this.at);
    if (end < 0) throw new RangeError("a replication message ends too soon");
    const text = this.buffer.toString("utf8", this.at, end);
    this.at = end + 1;
    return text;
  }

  private move(length: number): number {
    const from = this.at;
    this.at += length;
    return from;
  }
}

/** A position in the write-ahead log as a number: `0/16B3748`. */
export function lsnOf(text: string): bigint {
  const [high = "", low = ""] = text.split("/");
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

/** A position in the write-ahead log as PostgreSQL writes it. */
export function lsnText(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}
