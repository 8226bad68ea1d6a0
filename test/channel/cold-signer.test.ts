import { BIP32Factory } from 'bip32';
import * as ecc from 'tiny-secp256k1';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { NETWORKS, type NetworkName } from '../../src/bitcoin/network.ts';
import { bondCoins, finalizeBondReturn, signAndFinalizeBondReturn } from '../../src/channel/bonds.ts';
import { COLD_ROLES, type ColdKey, ColdSigner, coldHolder } from '../../src/channel/cold-signer.ts';
import { makerKeysOf, minerKeysOf } from '../../src/channel/keys.ts';
import { MonotoneSigner } from '../../src/channel/monotone-signer.ts';
import { exportPsbt, psbtSignature, signPsbt } from '../../src/channel/psbt.ts';
import { finalizeRefund, signAndFinalizeRefund } from '../../src/channel/refund.ts';
import { signAndFinalizeSealRefund } from '../../src/channel/seal.ts';
import type { Signer } from '../../src/channel/signer.ts';
import { bondReturnRequest, refundRequest } from '../../src/channel/signing-requests.ts';
import {
  code,
  EH,
  makeBonds,
  makeParams,
  makerSigner,
  makeTerms,
  minerSigner,
  SEAL,
  seedOf,
} from './fixtures.ts';
import { walletSign } from './psbt-fixtures.ts';

const vault = BIP32Factory(ecc).fromSeed(seedOf('vault'), NETWORKS.regtest.params);
const PATH = "m/87'/1'/0'";
const account: ColdKey = {
  xpub: vault.derivePath(PATH).neutered().toBase58(),
  fingerprintHex: toHex(vault.fingerprint),
  path: PATH,
};
const cold = { refund: account, exit: account, sealExit: account };

const coldSigner = (hot = makerSigner, keys: Partial<typeof cold> = cold): ColdSigner =>
  new ColdSigner({ network: 'regtest', cold: keys, channelIndex: 7 }, { hot });

const terms = makeTerms({ bonds: makeBonds('auditor'), seal: SEAL });
const params = makeParams(
  {
    keys: {
      ...minerKeysOf(coldSigner(minerSigner, { exit: account }), terms),
      ...makerKeysOf(coldSigner(makerSigner, { refund: account }), terms),
    },
  },
  terms,
);

describe('ColdSigner', () => {
  it('knows the public keys of its accounts by role and channel, and where they come from', () => {
    const branches = { refund: 2, exit: 4, sealExit: 6 } as const;
    for (const role of COLD_ROLES) {
      for (const index of [0, 7, 2 ** 31 - 1]) {
        const signer = coldSigner().forChannel(index);
        const path = `${PATH}/${branches[role]}/${index}`;
        expect(toHex(signer.publicKey(role))).toBe(toHex(vault.derivePath(path).publicKey));
        expect(signer.origin(role)).toEqual({ fingerprintHex: account.fingerprintHex, path });
      }
    }
    const all = COLD_ROLES.map((role) => toHex(coldSigner().publicKey(role)));
    expect(new Set(all).size).toBe(all.length);
  });

  it('is the hot signer for every other role', () => {
    const signer = coldSigner();
    const digest = seedOf('digest');
    for (const role of ['node', 'wallet', 'channel', 'bond', 'seal', 'auditor'] as const) {
      expect(signer.publicKey(role)).toEqual(makerSigner.publicKey(role));
      expect(signer.signEcdsa(role, digest)).toEqual(makerSigner.signEcdsa(role, digest));
      expect(signer.origin(role)).toEqual(makerSigner.origin(role));
    }
    expect(signer.signSchnorr('node', digest)).toEqual(makerSigner.signSchnorr('node', digest));
    expect(signer.forChannel(9).publicKey('channel')).toEqual(
      makerSigner.forChannel(9).publicKey('channel'),
    );
    const partly = coldSigner(makerSigner, { refund: account });
    expect(partly.publicKey('exit')).toEqual(makerSigner.publicKey('exit'));
  });

  it('knows of no origin where the hot signer has none', () => {
    const bare: Signer & { forChannel(): Signer } = {
      publicKey: (role) => makerSigner.publicKey(role),
      signEcdsa: (role, digest) => makerSigner.signEcdsa(role, digest),
      signSchnorr: (role, digest) => makerSigner.signSchnorr(role, digest),
      secretOf: (label) => makerSigner.secretOf(label),
      forChannel: () => bare,
    };
    const signer = new ColdSigner({ network: 'regtest', cold: { refund: account } }, { hot: bare });
    expect(() => signer.origin('channel')).toThrow('cold_key: the origin of the channel key is not known');
    expect(signer.origin('refund').path).toBe(`${PATH}/2/0`);
    const hot = coldSigner(makerSigner, { refund: account });
    expect(hot.signSchnorr('exit', seedOf('x'))).toEqual(makerSigner.signSchnorr('exit', seedOf('x')));
  });

  it('holds one key of an account for a signing request', () => {
    const holder = coldHolder(account, 'regtest', [1, 5]);
    expect(toHex(holder.publicKey('refund'))).toBe(toHex(vault.derivePath(`${PATH}/1/5`).publicKey));
    const { fingerprintHex } = account;
    expect(holder.origin('refund')).toEqual({ fingerprintHex, path: `${PATH}/1/5` });
    expect(code(() => coldHolder(account, 'mainnet', [1, 5]))).toBe('wrong_chain');
  });

  it('refuses to sign with a cold key, and says what to do', () => {
    const signer = coldSigner();
    for (const role of COLD_ROLES) {
      expect(() => signer.signEcdsa(role, seedOf('x'))).toThrow(/cold_key: .*PSBT/);
      expect(code(() => signer.signSchnorr(role, seedOf('x')))).toBe('cold_key');
    }
    expect(code(() => signAndFinalizeRefund(params, 5000, signer))).toBe('cold_key');
    const request = refundRequest(params, 5000);
    expect(code(() => signPsbt(request, exportPsbt(request, [signer]), signer))).toBe('cold_key');
    const miner = coldSigner(minerSigner);
    const [bond] = bondCoins(params, EH, 0);
    expect(code(() => signAndFinalizeBondReturn(params, bond!, 5000, miner))).toBe('cold_key');
    const sealed = makeParams({ keys: { ...params.keys, ...minerKeysOf(miner, terms) } }, terms);
    expect(code(() => signAndFinalizeSealRefund(sealed, 1000, miner))).toBe('cold_key');
  });

  it('signs states hot while the refund comes back from a vault by PSBT', () => {
    const signer = coldSigner(makerSigner, { refund: account });
    expect(new MonotoneSigner({ params }, { signer }).sign(0, 0n).n).toBe(0);
    const request = refundRequest(params, 5000);
    const answer = walletSign(exportPsbt(request, [signer]), vault);
    const signature = psbtSignature(request, answer, params.keys.makerRefund);
    expect(finalizeRefund(params, 5000, signature).feeSat).toBe(650n);
    const [bond] = bondCoins(params, EH, 0);
    const exit = bondReturnRequest(params, bond!, 5000);
    const miner = coldSigner(minerSigner, { exit: account });
    const signed = psbtSignature(exit, walletSign(exportPsbt(exit, [miner]), vault), params.keys.minerExit);
    expect(finalizeBondReturn(params, bond!, 5000, signed).feeSat).toBe(139n * 5n);
  });

  const make = (change: Partial<ColdKey>, network: NetworkName = 'regtest'): string =>
    code(
      () => new ColdSigner({ network, cold: { refund: { ...account, ...change } } }, { hot: makerSigner }),
    );

  it('refuses an account of another network', () => {
    const mainnet = BIP32Factory(ecc).fromSeed(seedOf('vault')).derivePath(PATH).neutered().toBase58();
    expect(make({})).toBe('nothing thrown');
    expect(make({}, 'signet')).toBe('nothing thrown');
    expect(make({}, 'mainnet')).toBe('wrong_chain');
    expect(make({ xpub: mainnet })).toBe('wrong_chain');
    expect(make({ xpub: mainnet }, 'mainnet')).toBe('nothing thrown');
  });

  it('refuses a private key, never showing it, and anything else that is no account', () => {
    const xprv = vault.derivePath(PATH).toBase58();
    expect(make({ xpub: xprv })).toBe('bad_key_file');
    try {
      coldSigner(makerSigner, { refund: { ...account, xpub: `${xprv.slice(0, -1)}1` } });
      expect.unreachable();
    } catch (error) {
      expect((error as Error).message).not.toContain(xprv.slice(4, 30));
    }
    const bad: Partial<ColdKey>[] = [
      { xpub: '' },
      { xpub: account.xpub.slice(1) },
      { xpub: vault.derivePath("m/87'/1'").neutered().toBase58() },
      { path: "m/87'/1'" },
      { path: 'm/87/1/0' },
      { path: `${PATH.slice(0, -1)}` },
      { path: `${PATH}x` },
      { path: `x${PATH}` },
      { path: "87'/1'/0'" },
      { path: 'm' },
      { fingerprintHex: '' },
      { fingerprintHex: account.fingerprintHex.slice(2) },
      { fingerprintHex: 'ABCDEF01' },
    ];
    for (const change of bad) expect(make(change)).toBe('bad_key_file');
  });
});
