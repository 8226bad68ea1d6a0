import { toHex } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/base/hash.ts';
import type { ChannelIndex } from '../../src/channel/channel-index.ts';
import { MonotoneSigner } from '../../src/channel/monotone-signer.ts';
import { channelIdOf } from '../../src/channel/params.ts';
import { type KeyRole, SeedSigner } from '../../src/channel/signer.ts';
import type { SignedState } from '../../src/channel/states.ts';
import type { OpenStateSigner } from '../../src/maker/maker-store.ts';

const MAX_REMEMBERED = 20_000;

/**
 * A `SeedSigner` that remembers what it has signed; ten thousand runs of one contract sign the same few
 * things again and again. As that of a daemon it signs nothing twice alike by BIP340: each second signature
 * of one digest is another one, in turns.
 */
export class CachedSigner extends SeedSigner {
  readonly #channels = new Map<ChannelIndex, SeedSigner>();
  readonly #signatures = new Map<string, Uint8Array>();
  readonly #name: string;
  /** The auxiliary byte of the next signature of each digest that was signed before. */
  readonly #turns = new Map<string, number>();
  readonly #aux: { byte: number };

  constructor(name: string, channelIndex: ChannelIndex = 0) {
    const aux = { byte: 0 };
    const random = { bytes: (count: number) => new Uint8Array(count).fill(aux.byte) };
    super({ seed: sha256(new TextEncoder().encode(name)), network: 'regtest', channelIndex, random });
    this.#aux = aux;
    this.#name = name;
  }

  override forChannel(channelIndex: ChannelIndex): SeedSigner {
    const signer = this.#channels.get(channelIndex) ?? new CachedSigner(this.#name, channelIndex);
    this.#channels.set(channelIndex, signer);
    return signer;
  }

  override signEcdsa(role: KeyRole, digest: Uint8Array): Uint8Array {
    return this.#once(`e ${role} ${toHex(digest)}`, () => super.signEcdsa(role, digest));
  }

  override signSchnorr(role: KeyRole, digest: Uint8Array): Uint8Array {
    const what = `s ${role} ${toHex(digest)}`;
    const byte = this.#turns.get(what) ?? 0;
    if (this.#turns.size >= MAX_REMEMBERED) this.#turns.clear();
    this.#turns.set(what, 1 - byte);
    return this.#once(`${byte} ${what}`, () => {
      this.#aux.byte = byte;
      return super.signSchnorr(role, digest);
    });
  }

  #once(key: string, sign: () => Uint8Array): Uint8Array {
    const known = this.#signatures.get(key);
    if (known !== undefined) return Uint8Array.from(known);
    if (this.#signatures.size >= MAX_REMEMBERED) this.#signatures.clear();
    const signature = sign();
    this.#signatures.set(key, signature);
    return Uint8Array.from(signature);
  }
}

/** The files of a maker's state signers, by channel: whatever is in one survives every crash. */
export type SignerFiles = Map<string, SignedState>;

/** As a `FileMonotoneSigner`: what it signs is durable before it is returned, whatever the ledger has. */
export function rememberingSigners(files: SignerFiles): OpenStateSigner {
  return ({ params, last }, deps) => {
    const path = channelIdOf(params);
    const remembered = files.get(path);
    const inner = new MonotoneSigner(
      remembered === undefined ? { params } : { params, last: remembered },
      deps,
    );
    const saved = <T>(result: T): T => {
      if (inner.last !== undefined) files.set(path, inner.last);
      return result;
    };
    if (last !== undefined) saved(inner.adopt(last));
    return {
      get last() {
        return inner.last;
      },
      sign: (n, workHashes) => saved(inner.sign(n, workHashes)),
      adopt: (state) => saved(inner.adopt(state)),
    };
  };
}
