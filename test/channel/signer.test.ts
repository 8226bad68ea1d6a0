import {
  chmodSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BIP32Factory } from 'bip32';
import * as ecc from 'tiny-secp256k1';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { sha256 } from '../../src/base/hash.ts';
import { channelIndexOf, channelSteps } from '../../src/channel/channel-index.ts';
import { loadOrCreateSeed, loadSeed } from '../../src/channel/key-file.ts';
import { MonotoneSigner } from '../../src/channel/monotone-signer.ts';
import {
  isEcdsaSignature,
  isSchnorrSignature,
  type KeyRole,
  nodeIdBytes,
  SeedSigner,
  schnorrSignature,
} from '../../src/channel/signer.ts';
import { signState, verifyState } from '../../src/channel/states.ts';
import { code, EH, makeParams, makerSigner, minerSigner, seedOf } from './fixtures.ts';

const ROLES: readonly KeyRole[] = [
  'node',
  'wallet',
  'channel',
  'refund',
  'bond',
  'exit',
  'seal',
  'sealExit',
  'auditor',
];

describe('SeedSigner', () => {
  const seed = fromHex('000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f');
  const signer = new SeedSigner({ seed, network: 'mainnet', channelIndex: 5 });
  const digest = seedOf('digest');

  it('derives each role at the path it documents', () => {
    const root = BIP32Factory(ecc).fromSeed(seed);
    const paths: Readonly<Record<KeyRole, string>> = {
      node: "m/7363'/0'",
      channel: "m/7363'/1'/5'",
      refund: "m/7363'/2'/5'",
      bond: "m/7363'/3'/5'",
      exit: "m/7363'/4'/5'",
      seal: "m/7363'/5'/5'",
      sealExit: "m/7363'/6'/5'",
      auditor: "m/7363'/7'/5'",
      wallet: "m/84'/0'/0'/0/0",
    };
    for (const role of ROLES) {
      expect(signer.publicKey(role)).toEqual(root.derivePath(paths[role]).publicKey);
      expect(signer.origin(role)).toEqual({
        fingerprintHex: toHex(root.fingerprint),
        path: paths[role],
      });
    }
    const testnet = new SeedSigner({ seed, network: 'signet' });
    expect(testnet.publicKey('wallet')).toEqual(root.derivePath("m/84'/1'/0'/0/0").publicKey);
    expect(testnet.publicKey('channel')).toEqual(root.derivePath("m/7363'/1'/0'").publicKey);
  });

  it('has other keys for each channel, and one node and wallet', () => {
    const other = signer.forChannel(6);
    for (const role of ROLES) {
      expect(toHex(other.publicKey(role)) === toHex(signer.publicKey(role))).toBe(
        role === 'node' || role === 'wallet',
      );
    }
    expect(new Set(ROLES.map((role) => toHex(signer.publicKey(role)))).size).toBe(ROLES.length);
    expect(() => signer.forChannel(-1)).toThrow('channel_index');
    expect(() => signer.forChannel(2 ** 31)).toThrow('channel_index');
    expect(() => new SeedSigner({ seed: seed.subarray(1), network: 'mainnet' })).toThrow('seed_size');
  });

  it('makes signatures that verify, low in s, and the same every time', () => {
    const half = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;
    for (let i = 0; i < 32; i += 1) {
      const hash = seedOf(`digest ${i}`);
      const signature = signer.signEcdsa('channel', hash);
      expect(isEcdsaSignature(hash, signer.publicKey('channel'), signature)).toBe(true);
      expect(BigInt(`0x${toHex(signature.subarray(32))}`)).toBeLessThanOrEqual(half);
      expect(signer.signEcdsa('channel', hash)).toEqual(signature);
    }
    const schnorr = signer.signSchnorr('node', digest);
    expect(isSchnorrSignature(digest, nodeIdBytes(signer), schnorr)).toBe(true);
    expect(signer.signSchnorr('node', digest)).toEqual(schnorr);
    let calls = 0;
    const random = {
      bytes: (size: number) => {
        calls += 1;
        return new Uint8Array(size).fill(calls);
      },
    };
    const protectedOne = new SeedSigner({ seed, network: 'mainnet', random });
    const all = [0, 1, 2].map(() => toHex(protectedOne.signSchnorr('node', digest)));
    expect(new Set([...all, toHex(schnorr)]).size).toBe(4);
    for (const each of all)
      expect(isSchnorrSignature(digest, nodeIdBytes(signer), fromHex(each))).toBe(true);
    // Neither the randomness nor a channel changes what a blob of an earlier version was sealed with.
    expect(protectedOne.forChannel(9).secretOf(digest)).toEqual(sha256(schnorr));
    expect(isSchnorrSignature(seedOf('other'), nodeIdBytes(signer), schnorr)).toBe(false);
  });

  it('says no to nonsense instead of throwing', () => {
    const key = signer.publicKey('channel');
    for (const bad of [
      new Uint8Array(0),
      new Uint8Array(64),
      new Uint8Array(64).fill(255),
      new Uint8Array(65),
    ]) {
      expect(isEcdsaSignature(digest, key, bad)).toBe(false);
      expect(isSchnorrSignature(digest, key.subarray(1), bad)).toBe(false);
    }
    const good = signer.signSchnorr('node', digest);
    expect(isSchnorrSignature(digest, new Uint8Array(32).fill(255), good)).toBe(false);
    expect(isSchnorrSignature(digest, signer.publicKey('node'), good)).toBe(false);
  });
});

/** BIP340, test-vectors.csv, 0 to 3: private key, public key, auxiliary randomness, message, signature. */
const BIP340 = [
  [
    '0000000000000000000000000000000000000000000000000000000000000003',
    'f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9',
    '00'.repeat(32),
    '00'.repeat(32),
    'e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca821525f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0',
  ],
  [
    'b7e151628aed2a6abf7158809cf4f3c762e7160f38b4da56a784d9045190cfef',
    'dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659',
    `${'00'.repeat(31)}01`,
    '243f6a8885a308d313198a2e03707344a4093822299f31d0082efa98ec4e6c89',
    '6896bd60eeae296db48a229ff71dfe071bde413e6d43f917dc8dcf8c78de33418906d11ac976abccb20b091292bff4ea897efcb639ea871cfa95f6de339e4b0a',
  ],
  [
    'c90fdaa22168c234c4c6628b80dc1cd129024e088a67cc74020bbea63b14e5c9',
    'dd308afec5777e13121fa72b9cc1b7cc0139715309b086c960e18fd969774eb8',
    'c87aa53824b4d7ae2eb035a2b5bbbccc080e76cdc6d1692c4b0b62d798e6d906',
    '7e2d58d8b3bcdf1abadec7829054f90dda9805aab56c77333024b9d0a508b75c',
    '5831aaeed7b44bb74e5eab94ba9d4294c49bcf2a60728d8b4c200f50dd313c1bab745879a5ad954a72c45a91c3a51d3c7adea98d82f8481e0e1e03674a6f3fb7',
  ],
  [
    '0b432b2677937381aef05bb02a66ecd012773062cf3fa2549e44f58ed2401710',
    '25d1dff95105f5253c4022f628a996ad3a0d95fbf21d468a1b33f8c160d8f517',
    'ff'.repeat(32),
    'ff'.repeat(32),
    '7eb0509757e246f19449885651611cb965ecc1a187dd51b64fda1edc9637d5ec97582b9cb13db3933705b32ba982af5af25fd78881ebb32771fc5922efc66ea3',
  ],
] as const;

it.each(BIP340)('BIP340: key %s signs as its test vector', (key, publicKey, aux, message, signature) => {
  const signed = schnorrSignature(fromHex(message), fromHex(key), fromHex(aux));
  expect(toHex(signed)).toBe(signature);
  expect(isSchnorrSignature(fromHex(message), fromHex(publicKey), signed)).toBe(true);
  expect(() => schnorrSignature(fromHex(message), fromHex(key), new Uint8Array(31))).toThrow('aux_size');
});

describe('the index of a channel', () => {
  const signer = new SeedSigner({ seed: seedOf('index'), network: 'mainnet' });

  it('follows from the contract, in two hardened steps, and the old one has one', () => {
    // sha256(sha256(tag) || sha256(tag) || 32 bytes of 11), by another program.
    expect(channelIndexOf('11'.repeat(32))).toBe('1063472049/1912398395');
    const { path } = signer.forChannel('5/2147483647').origin('refund');
    expect(path).toBe("m/7363'/2'/5'/2147483647'");
    expect(signer.forChannel(5).origin('refund').path).toBe("m/7363'/2'/5'");
    const keys = ['5/0', '0/5', 5].map((index) => toHex(signer.forChannel(index).publicKey('channel')));
    expect(new Set(keys).size).toBe(3);
  });

  it('is nothing else', () => {
    const none = ['', '5', '5/', '/5', '5/6/7', '05/6', '5/2147483648', '-1/5', '1.5/2', ' 1/2'];
    for (const bad of [...none, -1, 1.5, 2 ** 31, Number.NaN]) {
      expect(() => signer.forChannel(bad), String(bad)).toThrow('channel_index');
      expect(channelSteps(bad)).toBeUndefined();
    }
    expect(channelSteps(null)).toBeUndefined();
  });
});

describe('MonotoneSigner', () => {
  const params = makeParams();
  const make = (): MonotoneSigner => {
    const signer = new MonotoneSigner({ params }, { signer: makerSigner });
    signer.sign(0, 0n);
    signer.sign(1, EH);
    return signer;
  };

  it('signs one state after another, each of which the miner takes', () => {
    const signer = new MonotoneSigner({ params }, { signer: makerSigner });
    let previous = signer.last;
    for (let n = 0; n < 4; n += 1) {
      const next = signer.sign(n, BigInt(n) * EH);
      expect(verifyState(params, previous, next)).toBe('next');
      expect(signer.last).toBe(next);
      previous = next;
    }
  });

  it('never signs a lower number, a skipped one, less work, or beyond the contract', () => {
    const signer = make();
    const before = signer.last;
    expect(code(() => signer.sign(0, 0n))).toBe('wrong_state_number');
    expect(code(() => signer.sign(3, 5n * EH))).toBe('wrong_state_number');
    expect(code(() => signer.sign(2, EH))).toBe('not_monotone');
    expect(code(() => signer.sign(2, EH - 1n))).toBe('not_monotone');
    expect(code(() => signer.sign(2, 1000n * EH + 1n))).toBe('over_budget');
    expect(code(() => new MonotoneSigner({ params }, { signer: makerSigner }).sign(1, EH))).toBe(
      'wrong_state_number',
    );
    expect(signer.last).toBe(before);
  });

  it('never signs two contents for one number; the same again is the same bytes', () => {
    const signer = make();
    expect(signer.sign(1, EH)).toBe(signer.last);
    expect(code(() => signer.sign(1, EH + 1n))).toBe('equivocation');
  });

  it('goes on from what was on disk, and believes nothing it did not sign', () => {
    const last = make().sign(2, 2n * EH);
    const restored = new MonotoneSigner({ params, last }, { signer: makerSigner });
    expect(restored.sign(2, 2n * EH)).toEqual(last);
    expect(restored.sign(3, 3n * EH).n).toBe(3);
    const forged = { ...last, n: 9 };
    expect(code(() => new MonotoneSigner({ params, last: forged }, { signer: makerSigner }))).toBe(
      'bad_signature',
    );
  });

  it('takes over a newer state that it signed before it lost its memory', () => {
    const newer = signState(params, 9, 40n * EH, makerSigner);
    const signer = make();
    expect(signer.adopt(newer)).toBe(true);
    expect(signer.adopt(newer)).toBe(false);
    expect(signer.adopt(signState(params, 1, EH, makerSigner))).toBe(false);
    expect(code(() => signer.sign(2, 2n * EH))).toBe('wrong_state_number');
    expect(signer.sign(10, 41n * EH).n).toBe(10);
    expect(code(() => signer.adopt(signState(params, 10, 42n * EH, makerSigner)))).toBe('equivocation');
    expect(code(() => signer.adopt(signState(params, 11, 41n * EH, makerSigner)))).toBe('not_monotone');
    expect(code(() => signer.adopt({ ...newer, n: 12 }))).toBe('bad_signature');
    expect(new MonotoneSigner({ params }, { signer: makerSigner }).adopt(newer)).toBe(true);
  });

  it('is refused the keys of another party', () => {
    const signer = new MonotoneSigner({ params }, { signer: minerSigner });
    expect(code(() => signer.sign(0, 0n))).toBe('bad_key_file');
    expect(signer.last).toBeUndefined();
  });
});

describe('the key file', () => {
  const root = mkdtempSync(join(tmpdir(), 'sharestream-key-'));
  afterAll(() => rmSync(root, { recursive: true }));
  let folder = root;
  beforeEach(() => {
    folder = mkdtempSync(join(root, 'case-'));
  });
  const random = { bytes: (size: number) => new Uint8Array(size).fill(0xab) };
  const file = (name: string, text: string, mode = 0o600): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  };

  it('is made once, for its owner alone, and read back', () => {
    const path = join(folder, 'new');
    expect(code(() => loadSeed(path))).toBe('bad_key_file');
    expect(loadOrCreateSeed(path, random)).toEqual(random.bytes(32));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readFileSync(path, 'latin1')).toBe(`${'ab'.repeat(32)}\n`);
    const other = { bytes: (size: number) => new Uint8Array(size).fill(1) };
    expect(loadOrCreateSeed(path, other)).toEqual(random.bytes(32));
    expect(loadSeed(path)).toEqual(random.bytes(32));
  });

  it('is read with or without the newline, also read-only and through a link', () => {
    expect(loadSeed(file('bare', 'cd'.repeat(32), 0o400))).toEqual(new Uint8Array(32).fill(0xcd));
    symlinkSync(join(folder, 'bare'), join(folder, 'link'));
    expect(loadSeed(join(folder, 'link'))).toEqual(new Uint8Array(32).fill(0xcd));
  });

  it.each([0o640, 0o604, 0o644, 0o620, 0o601, 0o777])('is refused with mode %o', (mode) => {
    expect(code(() => loadSeed(file(`mode ${mode}`, 'cd'.repeat(32), mode)))).toBe('bad_key_file');
  });

  it.each(['', 'cd', 'zz'.repeat(32), 'cd'.repeat(33), `${'cd'.repeat(32)}\n\n`, ` ${'cd'.repeat(32)}`])(
    'is refused with content %j, and never overwritten',
    (text) => {
      const path = file(`content ${text.length}`, text);
      expect(code(() => loadOrCreateSeed(path, random))).toBe('bad_key_file');
      expect(readFileSync(path, 'latin1')).toBe(text);
    },
  );

  it('is refused where it is a folder, has no folder, or randomness fails', () => {
    expect(code(() => loadOrCreateSeed(folder, random))).toBe('bad_key_file');
    expect(code(() => loadOrCreateSeed(join(folder, 'no', 'where'), random))).toBe('bad_key_file');
    for (const size of [0, 16, 32]) {
      const broken = { bytes: () => new Uint8Array(size) };
      expect(code(() => loadOrCreateSeed(join(folder, 'never'), broken))).toBe('bad_key_file');
    }
    expect(code(() => statSync(join(folder, 'never')))).toBe('internal');
  });
});
