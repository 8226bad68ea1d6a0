import { concat } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';

export type CoinbaseOutput = { readonly script: Uint8Array; readonly valueSat: bigint };

/** The CompactSize of a length below 2^32: 1, 3 or 5 bytes. */
export function compactSize(size: number): Uint8Array {
  if (size < 0xfd) return Uint8Array.of(size);
  if (size <= 0xffff) return Uint8Array.of(0xfd, size & 0xff, size >> 8);
  return Uint8Array.of(0xfe, size & 0xff, (size >>> 8) & 0xff, (size >>> 16) & 0xff, size >>> 24);
}

/** The push of a block height that begins a coinbase script, minimally encoded (BIP34). */
export function heightPush(height: number): Uint8Array {
  if (height === 0) return Uint8Array.of(0x00);
  if (height <= 16) return Uint8Array.of(0x50 + height);
  const bytes: number[] = [];
  for (let rest = height; rest > 0; rest = Math.floor(rest / 256)) bytes.push(rest % 256);
  if (bytes[bytes.length - 1]! >= 0x80) bytes.push(0);
  return Uint8Array.of(bytes.length, ...bytes);
}

/**
 * A coinbase cut around its extranonce, in the serialisation without witness that the txid and the merkle
 * root use.
 */
export type SplitCoinbase = { readonly coinb1: Uint8Array; readonly coinb2: Uint8Array };

/**
 * The two parts of a coinbase whose script is `height push || extranonce || tag`.
 * @param extranonceSize bytes left between `coinb1` and `coinb2`
 */
export function buildCoinbase(options: {
  readonly height: number;
  readonly extranonceSize: number;
  readonly tag: Uint8Array;
  readonly outputs: readonly CoinbaseOutput[];
}): SplitCoinbase {
  const push = heightPush(options.height);
  const scriptSize = push.length + options.extranonceSize + options.tag.length;
  if (scriptSize > 100)
    throw new CodedError('malformed', `coinbase script of ${scriptSize} bytes exceeds 100`);
  const version = Uint8Array.of(2, 0, 0, 0);
  const input = concat(Uint8Array.of(1), new Uint8Array(32), Uint8Array.of(0xff, 0xff, 0xff, 0xff));
  const outputs = options.outputs.map((output) =>
    concat(u64le(output.valueSat), compactSize(output.script.length), output.script),
  );
  return {
    coinb1: concat(version, input, compactSize(scriptSize), push),
    coinb2: concat(
      options.tag,
      Uint8Array.of(0xff, 0xff, 0xff, 0xff),
      compactSize(outputs.length),
      ...outputs,
      new Uint8Array(4),
    ),
  };
}

function u64le(value: bigint): Uint8Array {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, value, true);
  return out;
}

/**
 * The outputs of a serialised coinbase (without witness). Throws `malformed` for anything that is not one.
 */
export function coinbaseOutputs(transaction: Uint8Array): CoinbaseOutput[] {
  const reader = new ByteReader(transaction);
  reader.skip(4);
  if (reader.size() !== 1) throw new CodedError('malformed', 'a coinbase has one input');
  reader.skip(36);
  reader.skip(reader.size());
  reader.skip(4);
  const outputs: CoinbaseOutput[] = [];
  for (let left = reader.size(); left > 0; left -= 1) {
    const valueSat = reader.u64();
    outputs.push({ valueSat, script: reader.take(reader.size()) });
  }
  reader.skip(4);
  if (!reader.atEnd()) throw new CodedError('malformed', 'bytes after the coinbase');
  return outputs;
}

class ByteReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  take(size: number): Uint8Array {
    if (this.#at + size > this.#bytes.length) throw new CodedError('malformed', 'transaction ends early');
    this.#at += size;
    return this.#bytes.subarray(this.#at - size, this.#at);
  }
  skip(size: number): void {
    this.take(size);
  }
  size(): number {
    const first = this.take(1)[0]!;
    if (first < 0xfd) return first;
    const width = first === 0xfd ? 2 : first === 0xfe ? 4 : 8;
    const value = this.take(width).reduceRight((sum, byte) => sum * 256 + byte, 0);
    if (value > this.#bytes.length) throw new CodedError('malformed', 'length exceeds the transaction');
    return value;
  }
  u64(): bigint {
    const bytes = this.take(8);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true);
  }
  atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }
}
