/*
 * PostgreSQL's hashtextextended(text, seed), bit for bit: Bob Jenkins' lookup3 over the text's UTF-8 bytes, 64 bits wide
 * (src/common/hashfn.c, hash_bytes_extended). The databases decide with it which tenants are their own, so the router has to find the same.
 */

/** A 64-bit hash as PostgreSQL's bigint: both halves, the upper one with its sign. */
export interface Hash {
  /** The upper 32 bits, signed. */
  readonly high: number;
  /** The lower 32 bits, without a sign. */
  readonly low: number;
}

const GOLDEN = 0x9e3779b9;
const PLUS = 3923095;

/** Hashes one text with several seeds; its bytes are taken apart once. */
export class TextHash implements Hash {
  high = 0;
  low = 0;
  private bytes = Buffer.alloc(256);
  private length = 0;

  /** Takes a text to be hashed. */
  load(text: string): this {
    // A UTF-16 unit has at most three bytes in UTF-8.
    if (text.length * 3 > this.bytes.length) this.bytes = Buffer.alloc(text.length * 3);
    const { bytes } = this;
    for (let index = 0; index < text.length; index += 1) {
      const unit = text.charCodeAt(index);
      if (unit > 127) {
        this.length = bytes.write(text, "utf8");
        return this;
      }
      bytes[index] = unit;
    }
    this.length = text.length;
    return this;
  }

  /** Hashes the text with a seed; the result is in {@link high} and {@link low}. */
  hash(seedHigh: number, seedLow: number): this {
    const k = this.bytes;
    let left = this.length;
    let a = (GOLDEN + left + PLUS) | 0;
    let b = a;
    let c = a;
    let at = 0;
    // The seed, then twelve bytes at a time, each followed by lookup3's mix.
    let seeding = (seedHigh | seedLow) !== 0;
    while (seeding || left >= 12) {
      if (seeding) {
        a = (a + seedHigh) | 0;
        b = (b + seedLow) | 0;
        seeding = false;
      } else {
        a = (a + word(k, at)) | 0;
        b = (b + word(k, at + 4)) | 0;
        c = (c + word(k, at + 8)) | 0;
        at += 12;
        left -= 12;
      }
      a = (a - c) | 0;
      a ^= (c << 4) | (c >>> 28);
      c = (c + b) | 0;
      b = (b - a) | 0;
      b ^= (a << 6) | (a >>> 26);
      a = (a + c) | 0;
      c = (c - b) | 0;
      c ^= (b << 8) | (b >>> 24);
      b = (b + a) | 0;
      a = (a - c) | 0;
      a ^= (c << 16) | (c >>> 16);
      c = (c + b) | 0;
      b = (b - a) | 0;
      b ^= (a << 19) | (a >>> 13);
      a = (a + c) | 0;
      c = (c - b) | 0;
      c ^= (b << 4) | (b >>> 28);
      b = (b + a) | 0;
    }
    // The lowest byte of c is the length's.
    for (let rest = 0; rest < left; rest += 1) {
      const byte = k[at + rest] as number;
      if (rest < 4) a = (a + (byte << (8 * rest))) | 0;
      else if (rest < 8) b = (b + (byte << (8 * (rest - 4)))) | 0;
      else c = (c + (byte << (8 * (rest - 7)))) | 0;
    }
    c ^= b;
    c = (c - ((b << 14) | (b >>> 18))) | 0;
    a ^= c;
    a = (a - ((c << 11) | (c >>> 21))) | 0;
    b ^= a;
    b = (b - ((a << 25) | (a >>> 7))) | 0;
    c ^= b;
    c = (c - ((b << 16) | (b >>> 16))) | 0;
    a ^= c;
    a = (a - ((c << 4) | (c >>> 28))) | 0;
    b ^= a;
    b = (b - ((a << 14) | (a >>> 18))) | 0;
    c ^= b;
    c = (c - ((b << 24) | (b >>> 8))) | 0;
    this.high = b;
    this.low = c >>> 0;
    return this;
  }
}

function word(bytes: Buffer, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24);
}

/** `hashtextextended(text, seed)`. */
export function hashText(text: string, seed: Hash = { high: 0, low: 0 }): Hash {
  const { high, low } = new TextHash().load(text).hash(seed.high, seed.low);
  return { high, low };
}
