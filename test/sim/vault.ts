import { Psbt } from 'bitcoinjs-lib';
import { equal } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import type { ChannelIndex } from '../../src/channel/channel-index.ts';
import type { KeyRole, SeedSigner } from '../../src/channel/signer.ts';
import type { ExternalSigning } from '../../src/settlement/external-signing.ts';

/** Roles whose keys lie in the vault. */
const COLD: readonly KeyRole[] = ['refund', 'exit', 'sealExit'];

/** A signer that has the cold keys by their public halves alone. */
export function withoutCold(signer: SeedSigner): SeedSigner {
  return new Proxy(signer, {
    get(target, name) {
      if (name === 'forChannel') return (index: ChannelIndex) => withoutCold(target.forChannel(index));
      if (name === 'signEcdsa') {
        return (role: KeyRole, digest: Uint8Array) => {
          if (COLD.includes(role)) throw new CodedError('cold_key', `the ${role} key is cold`);
          return target.signEcdsa(role, digest);
        };
      }
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

/** The folder of signing requests of one side, and who signs what lies there when told to. */
export class Vault implements ExternalSigning {
  /** By name and rate. */
  readonly #asked = new Map<string, { name: string; satPerKvb: number; psbt: string; signed?: string }>();
  readonly #signer: SeedSigner;

  constructor(signer: SeedSigner) {
    this.#signer = signer;
  }

  /** How many requests there are. */
  get size(): number {
    return this.#asked.size;
  }

  open(name: string): ReturnType<ExternalSigning['open']> {
    return [...this.#asked.values()].filter((each) => each.name === name);
  }

  ask(name: string, satPerKvb: number, psbt: string): void {
    this.#asked.set(`${name}.${satPerKvb}`, { name, satPerKvb, psbt });
  }

  /** Signs all that was asked for so far, by the keys of one channel. */
  sign(channelIndex: ChannelIndex): void {
    const keys = this.#signer.forChannel(channelIndex);
    for (const each of this.#asked.values()) {
      if (each.signed !== undefined) continue;
      const psbt = Psbt.fromBase64(each.psbt);
      const [script] = psbt.data.inputs.map(({ witnessScript }) => witnessScript!);
      for (const role of COLD) {
        const publicKey = keys.publicKey(role);
        const isOf = script!.some((_byte, at) => equal(script!.subarray(at, at + 33), publicKey));
        if (isOf) psbt.signInput(0, { publicKey, sign: (digest) => keys.signEcdsa(role, digest) });
      }
      each.signed = psbt.toBase64();
    }
  }
}
