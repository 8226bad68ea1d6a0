import { copyFileSync, existsSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Psbt, Transaction } from 'bitcoinjs-lib';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { channelIndexOf } from '../../src/channel/channel-index.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { SHARE } from '../maker/world.ts';
import { Aftermath } from './ledgers.ts';
import { answer, refusal, sharestream } from './program.ts';

/** Processes that start and blocks that are mined: slow on a machine that does other things too. */
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

type Result = {
  by: string;
  way?: string;
  close_txid: string;
  close_tx: string;
  fee_sat: string;
  confirmations: number;
  state_number?: number;
  peer?: string;
};

const EXPIRY = 600;
let scene: Aftermath;
const start = async (): Promise<void> => {
  scene = new Aftermath({ terms: { expiryHeight: EXPIRY } });
  await scene.run(3);
};
afterEach(() => scene.end());

const paidAt = (n: number): bigint =>
  (BigInt(4 * n) * SHARE.workHashes * scene.world.terms.priceMsatPerEh) / 10n ** 18n / 1000n;

/** What a block holds of a transaction: what each side got, to the satoshi. */
function settled(txid: string): { minerSat: bigint; makerSat: bigint; feeSat: bigint } {
  const found = scene.world.chain.transaction(txid)!;
  expect(found.block).toBeDefined();
  const sum = (scriptHex: string): bigint =>
    found.transaction.outs.reduce(
      (total, { script, value }) => total + (toHex(script) === scriptHex ? value : 0n),
      0n,
    );
  const { minerSigner, makerSigner, terms } = scene.world;
  const scriptOf = (key: Uint8Array): string => toHex(p2wpkhScript(key));
  const minerSat = sum(scriptOf(minerSigner.publicKey('wallet')));
  const makerSat = sum(scriptOf(makerSigner.publicKey('wallet')));
  const capacitySat = terms.budgetSat + terms.reserveSat + terms.minerReserveSat;
  return { minerSat, makerSat, feeSat: capacitySat - minerSat - makerSat };
}

/** Checks a close at state n on the chain. */
function expectClosedAt(n: number, { close_txid, fee_sat }: Result): void {
  const { terms, chain } = scene.world;
  chain.generate(1);
  const { minerSat, makerSat, feeSat } = settled(close_txid);
  expect(feeSat).toBe(BigInt(fee_sat));
  expect(minerSat).toBe(terms.minerReserveSat + paidAt(n) - feeSat);
  expect(makerSat).toBe(terms.reserveSat + terms.budgetSat - paidAt(n));
}

describe('channel force-close without a daemon', () => {
  it('broadcasts the newest state of the miner, as the dry run showed it, and keeps a record', async () => {
    await start();
    const on = ['--config', scene.config('miner')];
    const plan = await answer<{ transaction: { hex: string } }>([
      'channel',
      'force-close',
      ...on,
      '--dry-run',
    ]);
    const result = await answer<Result>(['channel', 'force-close', ...on, '--yes']);
    expect(result).toMatchObject({ by: 'command', close_tx: plan.transaction.hex, confirmations: 0 });
    expect(scene.world.chain.mempoolEntries()).toHaveLength(1);
    const { channels } = await answer<{ channels: object[] }>(['channel', 'list', ...on]);
    expect(channels).toMatchObject([{ status: 'closing', reason: 'alone' }]);

    const raised = await answer<Result>(['channel', 'force-close', ...on, '--yes', '--urgent']);
    expect(BigInt(raised.fee_sat)).toBeGreaterThan(BigInt(result.fee_sat));
    expect(scene.world.chain.mempoolEntries().map(({ txid }) => txid)).toEqual([raised.close_txid]);
    expectClosedAt(3, raised);
    expect(await refusal(['channel', 'force-close', ...on, '--yes'])).toBe('1 unknown_channel');
    const shown = await answer(['channel', 'show', ...on]);
    expect(shown).toMatchObject({ chain: { funding: 'spent', spent_by: raised.close_txid } });
    const verified = await answer(['ledger', 'verify', '--path', scene.path('miner', 'ledger.sqlite')]);
    expect(verified).toMatchObject({ ok: true });
  });

  it('says what it has when it is asked again, and fails when no block comes in time', async () => {
    await start();
    const on = ['channel', 'force-close', '--config', scene.config('miner'), '--yes'];
    expect(await refusal([...on, '--wait', '1'])).toBe('1 peer_timeout');
    scene.world.chain.generate(2);
    const again = await answer<Result>([...on, '--wait', '5']);
    expect(again).toMatchObject({ confirmations: 2 });
    const maker = ['channel', 'force-close', '--config', scene.config('maker'), '--yes'];
    expect(await refusal(maker)).toBe('1 unknown_channel');
  });

  it('takes the channel back for the maker at the expiry, and not a block before', async () => {
    await start();
    const { chain, terms } = scene.world;
    const words = ['channel', 'force-close', '--config', scene.config('maker'), '--yes'];
    chain.generate(EXPIRY - 1 - chain.height);
    expect(await refusal(words)).toBe('1 not_expired');
    chain.generate(1);
    const result = await answer<Result>(words);
    chain.generate(1);
    const { minerSat, makerSat, feeSat } = settled(result.close_txid);
    expect([minerSat, feeSat]).toEqual([0n, BigInt(result.fee_sat)]);
    expect(makerSat + feeSat).toBe(terms.budgetSat + terms.reserveSat + terms.minerReserveSat);
  });

  it('sends the funding again when it left the chain, and can close once a block holds it', async () => {
    await start();
    const { chain } = scene.world;
    chain.invalidateTip(3);
    for (const { txid } of chain.mempoolEntries()) expect(txid).toBe(scene.fundingTxid);
    const words = ['channel', 'force-close', '--config', scene.config('miner'), '--yes'];
    expect(await refusal(words)).toBe('1 tx_refused');
    expect(chain.mempoolEntries().map(({ txid }) => txid)).toEqual([scene.fundingTxid]);
    chain.generate(1);
    expectClosedAt(3, await answer<Result>(words));
  });

  it.each(['miner', 'maker'] as const)('broadcasts what the %s signed where its keys are', async (side) => {
    await start();
    const { chain } = scene.world;
    const on = ['channel', 'force-close', '--ledger', scene.path(side, 'ledger.sqlite')];
    const node = ['--rpc-url', scene.rpc.url];
    const { psbt } = await answer<{ psbt: string }>([...on, ...node, '--dry-run']);
    const signer = scene.world[`${side}Signer`].forChannel(channelIndexOf(scene.world.contractId));
    const role = side === 'miner' ? 'channel' : 'refund';
    const asked = Psbt.fromBase64(psbt);
    const file = scene.path('signed.psbt');
    writeFileSync(file, psbt);
    expect(await refusal([...on, ...node, '--yes', '--signed', file])).toBe('1 bad_signature');
    asked.signInput(0, {
      publicKey: signer.publicKey(role),
      sign: (digest) => signer.signEcdsa(role, digest),
    });
    writeFileSync(file, asked.toBase64());
    if (side === 'maker') {
      expect(await refusal([...on, ...node, '--yes', '--signed', file])).toBe('1 not_expired');
      chain.generate(EXPIRY - chain.height);
    }
    const result = await answer<Result>([...on, ...node, '--yes', '--signed', file]);
    if (side === 'miner') expectClosedAt(3, result);
    chain.generate(1);
    expect(chain.transaction(result.close_txid)?.block).toBeDefined();
    writeFileSync(file, 'nonsense');
    expect(await refusal([...on, ...node, '--yes', '--signed', file])).toBe('1 bad_psbt');
  });

  it('closes beside a daemon that holds the ledger and does not answer', async () => {
    await start();
    const ledger = await openSqliteLedger(
      { path: scene.path('miner', 'ledger.sqlite') },
      { log: silentLogger },
    );
    const on = ['--config', scene.config('miner')];
    expect(await refusal(['channel', 'close', ...on, '--yes'])).toBe('1 daemon_unreachable');
    const result = await answer<Result>(['channel', 'force-close', ...on, '--yes']);
    expect(result.by).toBe('command');
    expectClosedAt(3, result);
    await ledger.close();
  });

  it('closes a channel that is frozen, and keeps a record of it', async () => {
    await start();
    const ledger = await openSqliteLedger(
      { path: scene.path('miner', 'ledger.sqlite') },
      { log: silentLogger },
    );
    const body = JSON.parse((await ledger.get('channel', scene.world.contractId))!) as object;
    const frozen = JSON.stringify({ ...body, status: 'frozen', reason: 'two contents for state 4' });
    await ledger.appendNow([{ type: 'put', kind: 'channel', id: scene.world.contractId, body: frozen }]);
    await ledger.close();
    const on = ['--config', scene.config('miner')];
    const result = await answer<Result>(['channel', 'force-close', ...on, '--yes']);
    expectClosedAt(3, result);
    const { channels } = await answer<{ channels: object[] }>(['channel', 'list', ...on]);
    expect(channels).toMatchObject([{ status: 'closing', reason: 'alone' }]);
  });
});

describe('channel recover', () => {
  const exported = async (side: 'miner' | 'maker', ...words: string[]): Promise<string> => {
    const file = scene.path(`${side}.json`);
    await answer(['channel', 'export', '--config', scene.config(side), '--out', file, ...words]);
    rmSync(scene.path(side), { recursive: true });
    return file;
  };

  it('closes from an export on a machine that has nothing else', async () => {
    await start();
    const file = await exported('miner');
    const words = ['channel', 'recover', '--from', file, '--rpc-url', scene.rpc.url];
    const result = await answer<Result>([...words, '--yes']);
    expect(result).toMatchObject({ way: 'file', state_number: 3, confirmations: 0 });
    expectClosedAt(3, result);
    expect(await refusal([...words, '--yes'])).toBe('1 unknown_channel');
  });

  it('takes the channel back from the export of a maker, after the expiry', async () => {
    await start();
    const { chain } = scene.world;
    const file = await exported('maker');
    chain.generate(EXPIRY - chain.height);
    const words = ['channel', 'recover', '--from', file, '--rpc-url', scene.rpc.url, '--yes', '--urgent'];
    const result = await answer<Result>(words);
    chain.generate(1);
    expect(settled(result.close_txid)).toMatchObject({ minerSat: 0n, feeSat: BigInt(result.fee_sat) });
    expect(Transaction.fromHex(result.close_tx).locktime).toBe(EXPIRY);
  });

  it('takes the export of a maker over with its keys, and takes the channel back', async () => {
    await start();
    const { chain } = scene.world;
    const file = await exported('maker', '--with-keys');
    const config = scene.writeHome('new', 'maker', { keys: false });
    chain.generate(EXPIRY - chain.height);
    const words = ['channel', 'recover', '--from', file, '--config', config, '--yes'];
    const result = await answer<Result>(words);
    expect(result).toMatchObject({ way: 'alone', state_number: 3 });
    chain.generate(1);
    expect(settled(result.close_txid)).toMatchObject({ minerSat: 0n, feeSat: BigInt(result.fee_sat) });
  });

  it('takes an export with keys over into another data directory, asks the maker, and closes together', async () => {
    await start();
    const file = await exported('miner', '--with-keys');
    await scene.world.startMaker();
    const config = scene.writeHome('new', 'miner', { keys: false, makerPort: scene.world.port });
    const result = await answer<Result>([
      'channel',
      'recover',
      '--from',
      file,
      '--config',
      config,
      '--yes',
    ]);
    expect(result).toMatchObject({ way: 'together', state_number: 3 });
    expect(statSync(scene.path('new', 'seed')).mode & 0o777).toBe(0o600);
    expectClosedAt(3, result);
    await scene.world.maker.close();
  });

  it('heals a copy of the ledger that is a state behind from the maker, and closes at the newest', async () => {
    await start();
    await scene.world.startMaker();
    const config = scene.writeHome('old', 'miner', { makerPort: scene.world.port });
    const before = await answer<{ channels: object[] }>(['channel', 'list', '--config', config]);
    expect(before.channels).toMatchObject([{ state_number: 2 }]);
    const result = await answer<Result>(['channel', 'recover', '--config', config, '--yes']);
    expect(result).toMatchObject({ way: 'together', state_number: 3 });
    expectClosedAt(3, result);
    await scene.world.maker.close();
  });

  it('gets the channel back with nothing but the keys, from what the maker keeps', async () => {
    await start();
    await scene.world.startMaker();
    const config = scene.writeHome('bare', 'miner', { makerPort: scene.world.port });
    const result = await answer<Result>(['channel', 'recover', '--config', config, '--yes']);
    expect(result).toMatchObject({ way: 'together', state_number: 3 });
    expectClosedAt(3, result);
    await scene.world.maker.close();
  });

  it('closes at what the copy has where the maker does not answer, or is left out', async () => {
    await start();
    const config = scene.writeHome('old', 'miner', { makerPort: 1 });
    const words = ['channel', 'recover', '--config', config, '--yes', '--peer-timeout', '1'];
    const result = await answer<Result>(words);
    expect(result).toMatchObject({ way: 'alone', state_number: 2 });
    expect(result.peer).toContain('did not answer');
    expectClosedAt(2, result);
  });

  it('gives an older ledger the state of a newer export', async () => {
    await start();
    const file = await exported('miner');
    const config = scene.writeHome('old', 'miner', { makerPort: 1 });
    const words = ['--from', file, '--config', config, '--yes', '--peer-timeout', '0'];
    const result = await answer<Result>(['channel', 'recover', ...words]);
    expect(result).toMatchObject({ way: 'alone', state_number: 3, peer: 'not asked' });
    expectClosedAt(3, result);
  });

  it('refuses keys that are not those of the channel, and a ledger that is in use', async () => {
    await start();
    const file = await exported('miner');
    const other = scene.writeHome('other', 'miner', { keys: false });
    copyFileSync(scene.path('maker', 'seed'), scene.path('other', 'seed'));
    const words = ['channel', 'recover', '--from', file, '--config', other, '--yes'];
    expect(await refusal(words)).toBe('1 bad_key_file');
    expect(existsSync(scene.path('other', 'ledger.sqlite'))).toBe(false);
    expect(scene.world.chain.mempoolEntries()).toEqual([]);
    const held = await sharestream(['channel', 'recover', '--config', scene.config('maker'), '--yes']);
    expect(held.stderr).toContain('not_expired');
  });
});
