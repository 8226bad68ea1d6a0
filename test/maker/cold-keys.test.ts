import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BIP32Factory } from 'bip32';
import { Psbt } from 'bitcoinjs-lib';
import * as ecc from 'tiny-secp256k1';
import { afterAll, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { capacitySat } from '../../src/channel/amounts.ts';
import { type ColdKey, ColdSigner } from '../../src/channel/cold-signer.ts';
import { SeedSigner } from '../../src/channel/signer.ts';
import type { MempoolEntry } from '../../src/devnet/chain/mempool-graph.ts';
import { type ExternalSigning, fileExternalSigning } from '../../src/settlement/external-signing.ts';
import { walletSign } from '../channel/psbt-fixtures.ts';
import { seedOf, until, World } from './world.ts';

const vault = BIP32Factory(ecc).fromSeed(seedOf('vault'), NETWORKS.regtest.params);
const PATH = "m/87'/1'/0'";
const account: ColdKey = {
  xpub: vault.derivePath(PATH).neutered().toBase58(),
  fingerprintHex: toHex(vault.fingerprint),
  path: PATH,
};

const folder = mkdtempSync(join(tmpdir(), 'externalSigning-'));
afterAll(() => rmSync(folder, { recursive: true }));
let made = 0;

/** External signing in a folder of its own, and how somebody answers what lies on it. */
function deskWith(sign: (psbt: string, name: string) => string) {
  const path = join(folder, String(made++));
  const asked = (): string[] =>
    (existsSync(path) ? readdirSync(path) : []).filter((n) => !n.includes('signed'));
  const answer = (name: string): void => {
    const signed = sign(readFileSync(join(path, name), 'utf8').trim(), name);
    writeFileSync(join(path, name.replace('.psbt', '.signed.psbt')), signed);
  };
  return { externalSigning: fileExternalSigning(path), asked, answer };
}

it('a maker whose refund key is cold leaves the request, and goes on with what the vault signed', async () => {
  const { externalSigning, asked, answer } = deskWith((psbt) => walletSign(psbt, vault));
  const world = new World({
    externalSigning,
    terms: { expiryHeight: 600 },
    policy: { minExpiryBlocks: 300 },
  });
  const cold = new ColdSigner(
    { network: 'regtest', cold: { refund: account } },
    { hot: world.makerSigner },
  );
  Object.assign(world, { makerSigner: cold });
  await world.open();
  await world.work(4);
  await until('state 1', () => world.maker.status[0]!.ackedN === 1);
  await world.miner.stop();
  world.chain.generate(600 - world.chain.height);
  await until('request', () => asked().length === 6);
  // One session at the vault is enough for a market that rises.
  expect(asked().map((name) => Number(name.split('.')[2]))).toEqual(
    [2_000, 4_000, 8_000, 16_000, 32_000, 64_000].sort((a, b) => (String(a) < String(b) ? -1 : 1)),
  );
  world.chain.generate(1);
  await world.rest();
  expect(world.chain.mempoolEntries()).toEqual([]);
  expect(world.maker.status[0]).toMatchObject({ channel: 'open', frozen: undefined });
  expect(await world.makerStore.get('request', `${world.contractId}:refund`)).toContain('psbt');

  answer(`${world.contractId}.refund.2000.psbt`);
  world.chain.generate(1);
  await until('refund', () => world.chain.mempoolEntries().length === 1);
  const [{ feeSat, transaction }] = world.chain.mempoolEntries() as [MempoolEntry];
  expect(transaction.outs[0]!.value).toBe(capacitySat(world.terms) - feeSat);
  world.chain.generate(2);
  await until('closed', () => world.maker.status[0]!.channel === 'closed');
  await world.stop();
});

describe('a bond that an auditor rules on', () => {
  const auditor = new SeedSigner({ seed: seedOf('auditor'), network: 'regtest', channelIndex: 5 });
  const auditorKeyHex = toHex(auditor.publicKey('auditor'));

  async function closedAlone(externalSigning: ExternalSigning): Promise<World> {
    const world = new World({
      externalSigning,
      terms: {
        bonds: {
          ...{ bondMode: 'auditor', bondCsvBlocks: 2016, auditorKeyHex },
          ...{ makerBondSat: 40_000n, collateralSat: 60_000n },
        },
      },
      policy: {
        stakes: {
          ...{ bondModes: ['auditor'], maxMakerBondSat: 40_000n, minCollateralSat: 1000n },
          ...{ auditorKeysHex: [auditorKeyHex], minBondCsvBlocks: 1, maxBondCsvBlocks: 2016 },
          ...{ seal: 'never', minClaimFeeRateSatPerKvb: 100, earlyClose: 'refused' },
        },
      },
    });
    await world.open();
    await world.work(4);
    await until('state 1', () => world.maker.status[0]!.ackedN === 1);
    await world.miner.closeAlone();
    world.chain.generate(2);
    return world;
  }

  it('goes where the auditor signed, once the answer lies on the externalSigning', async () => {
    const sign = (psbt: string): string => signByKey(psbt, auditor);
    const { externalSigning, asked, answer } = deskWith(sign);
    const world = await closedAlone(externalSigning);
    // Both sides ask for both bonds, each for itself; they share a folder here, so each is asked once.
    await until('asked', () => asked().length === 2);
    for (const name of asked()) answer(name);
    world.chain.generate(1);
    await until(
      'moved',
      async () =>
        (await world.makerStore.list('award')).length > 0 ||
        (await world.minerStore.list('award')).length > 0,
    );
    await until('in the mempool', () => world.chain.mempoolEntries().length === 2);
    expect(world.chain.mempoolEntries().map(({ transaction }) => transaction.ins[0]!.sequence)).toEqual([
      0xffff_fffd, 0xffff_fffd,
    ]);
    world.chain.generate(1);
    await world.stop();
  });

  it('stays where the answer is not signed, or is another request', async () => {
    const other = 'cHNidP8BAAoCAAAAAAAAAAAAAAAA';
    const { externalSigning, asked, answer } = deskWith((psbt, name) =>
      name.includes('ruling-miner') ? psbt : other,
    );
    const world = await closedAlone(externalSigning);
    await until('asked', () => asked().length === 2);
    for (const name of asked()) answer(name);
    world.chain.generate(2);
    await world.rest();
    expect(await world.makerStore.list('award')).toEqual([]);
    expect(await world.minerStore.list('award')).toEqual([]);
    expect(world.chain.mempoolEntries()).toEqual([]);
    await world.stop();
  });
});

/** As a wallet that has one key and signs whatever names it. */
function signByKey(text: string, signer: SeedSigner): string {
  const psbt = Psbt.fromBase64(text);
  const publicKey = signer.publicKey('auditor');
  psbt.signInput(0, {
    publicKey,
    sign: (digest: Uint8Array) => signer.signEcdsa('auditor', digest),
  });
  return psbt.toBase64();
}
