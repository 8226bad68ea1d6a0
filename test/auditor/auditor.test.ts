import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { bondCoins, bondKeyOf, finalizeBondSpend, signBondSpend } from '../../src/channel/bonds.ts';
import { exportPsbt, psbtSignature } from '../../src/channel/psbt.ts';
import { nodeIdBytes } from '../../src/channel/signer.ts';
import { bondSpendRequest } from '../../src/channel/signing-requests.ts';
import type { MinuteReport, MinuteRole } from '../../src/contract/minutes.ts';
import { codecsOf, type MethodName, type Params } from '../../src/peer/messages.ts';
import { makeParams, p2wpkh, strangerSigner } from '../channel/fixtures.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { auditedTerms, type Minute, RATE, SIDES, Stand } from './stand.ts';

const IDLE: Minute = { shares: 0n, miner: 'idle' };
const SUSPENDED: Minute = { shares: 0n, maker: 'suspended' };
const GOOD: Minute = { shares: 12n };

/** A contract of an hour of good work, and of minutes that are not. */
async function hoursOf(minute: Minute, count = 120): Promise<Stand> {
  const stand = new Stand();
  await stand.start();
  stand.run(60, GOOD);
  stand.run(count, minute);
  stand.run(5, GOOD);
  await stand.write();
  return stand;
}

/** The log of a side that says something else from some minute on. */
function changed(log: readonly MinuteReport[], says: MinuteReport['says']): readonly MinuteReport[] {
  return log.map((report, at) => (at < 60 ? report : { ...report, says }));
}

/** Asks as a node that proved its key; the code where it is refused. */
async function asked<M extends MethodName>(
  stand: Stand,
  role: MinuteRole | 'stranger',
  method: M,
  params: Params<M>,
): Promise<string> {
  const signer = role === 'stranger' ? strangerSigner : stand.sides[role].signer;
  const handlers = stand.auditor.handlers(toHex(nodeIdBytes(signer)));
  const answer = await handlers[method]!(codecsOf(method).params.print(params)).catch(codeOf);
  return typeof answer === 'string' ? answer : 'taken';
}

/** The transactions by which a side takes the bonds, made of what the auditor signed. */
function spends(stand: Stand, payee: MinuteRole): readonly string[] {
  const { params, state, sides } = stand;
  return bondCoins(params, state.workHashes, 0).map((coin) => {
    const spend = { coin, payee, feeRateSatPerKvb: RATE };
    const name = `${stand.contractId}.ruling-${coin.owner}-${coin.txid.slice(0, 8)}`;
    const signed = sides[payee].answers.get(name)!;
    const auditor = psbtSignature(bondSpendRequest(params, spend), signed, bondKeyOf(params, 'auditor'));
    const own = signBondSpend(params, spend, payee, sides[payee].signer);
    return finalizeBondSpend(params, spend, { [payee]: own, auditor }).hex;
  });
}

describe('an auditor of two daemons', () => {
  it.each<[loser: MinuteRole, minute: Minute]>([
    ['miner', IDLE],
    ['maker', SUSPENDED],
  ])('signs the bonds away from a %s in default, to the other side alone', async (loser, minute) => {
    const stand = await hoursOf(minute);
    const winner = loser === 'miner' ? 'maker' : 'miner';
    for (const role of SIDES) stand.sides[role].ask();
    await stand.tell();
    await stand.tell();
    expect(stand.verdict).toBe(loser);
    expect(stand.sides[loser].answers.size).toBe(0);
    const script = toHex(
      winner === 'miner' ? stand.params.minerPayoutScript : stand.params.makerPayoutScript,
    );
    expect(spends(stand, winner)).toHaveLength(2);
    for (const hex of spends(stand, winner)) expect(hex).toContain(script);
    for (const role of SIDES)
      expect(stand.sides[role].link.viewOf(stand.contractId)).toMatchObject({
        ...{ isConnected: true, channel: 'shared', verdict: loser, lastError: undefined },
      });
    await stand.stop();
  });

  it('is asked again by a maker whose log is over, once the miner has told its own', async () => {
    const stand = await hoursOf(IDLE);
    stand.sides.maker.ask();
    await stand.tell(['maker']);
    expect(stand.verdict).toBe('undecided');
    await stand.tell(['miner']);
    expect(stand.verdict).toBe('miner');
    await stand.time.advance(60_000);
    expect(spends(stand, 'maker')).toHaveLength(2);
    await stand.stop();
  });

  it.each<[what: string, minute: Minute, count: number]>([
    ['nobody is in default', GOOD, 120],
    ['a cure is not over', IDLE, 40],
    ['the maker has no jobs', { shares: 0n, miner: 'no_work', maker: 'work_down' }, 200],
  ])('signs nothing where %s', async (_what, minute, count) => {
    const stand = await hoursOf(minute, count);
    for (const role of SIDES) stand.sides[role].ask();
    await stand.tell();
    await stand.tell();
    expect(stand.verdict).toBe('none');
    for (const role of SIDES) expect(stand.sides[role].answers.size).toBe(0);
    await stand.stop();
  });

  it('is told of each minute as it comes, and again what it missed while it was away', async () => {
    const stand = new Stand();
    await stand.start();
    stand.run(60, GOOD);
    await stand.write();
    await stand.tell();
    stand.server.kill();
    stand.run(600, GOOD);
    await stand.write();
    await stand.tell();
    expect(stand.sides.miner.link.viewOf(stand.contractId)).toMatchObject({
      ...{ isConnected: false, lastError: 'peer_closed' },
    });
    await stand.start();
    await stand.time.advance(120_000);
    const last = stand.logs.miner.at(-1)!.minute;
    expect(stand.auditor.status).toMatchObject([{ lastMinute: last, verdict: 'none' }]);
    expect(stand.sides.maker.link.viewOf(stand.contractId)?.toldMinute).toBe(last + 1);
    await stand.stop();
  });

  it('rules the same after it was killed, by its own disk alone', async () => {
    const stand = await hoursOf(IDLE);
    await stand.tell();
    expect(stand.verdict).toBe('miner');
    await stand.restart();
    expect(stand.verdict).toBe('miner');
    stand.sides.maker.ask();
    await stand.time.advance(120_000);
    expect(spends(stand, 'maker')).toHaveLength(2);
    await stand.stop();
  });

  it('costs nothing but the ruling where it is silent or dead', async () => {
    const stand = await hoursOf(IDLE);
    stand.server.kill();
    stand.sides.maker.ask();
    await stand.time.advance(600_000);
    expect(stand.sides.maker.answers.size).toBe(0);
    expect(stand.sides.maker.requests).toHaveLength(2);
    await stand.start();
    await stand.stop();
  });

  it('is undecided where the side in default tells nothing', async () => {
    const stand = await hoursOf(IDLE);
    await stand.sides.miner.link.close();
    stand.sides.maker.ask();
    await stand.tell(['maker']);
    await stand.tell(['maker']);
    expect(stand.verdict).toBe('undecided');
    expect(stand.sides.maker.answers.size).toBe(0);
    await stand.stop();
  });

  it.each<[liar: MinuteRole, minute: Minute, says: MinuteReport['says']]>([
    ['miner', IDLE, 'delivering'],
    ['maker', SUSPENDED, 'taking'],
  ])('is deceived by no other log that the %s shows it', async (liar, minute, says) => {
    const stand = await hoursOf(minute);
    await stand.store(liar, liar, changed(stand.logs[liar], says));
    for (const role of SIDES) stand.sides[role].ask();
    await stand.tell();
    await stand.tell();
    expect(stand.verdict).toBe(liar);
    expect(stand.sides[liar].answers.size).toBe(0);
    expect(stand.sides[liar === 'miner' ? 'maker' : 'miner'].answers.size).toBe(2);
    await stand.stop();
  });

  it('goes by no log that its side did not sign', async () => {
    const stand = await hoursOf(IDLE);
    // The maker makes up that the miner was idle; it cannot sign for it.
    const good = stand.logs.miner.map((report) => ({ ...report, says: 'delivering' as const }));
    await stand.store('miner', 'miner', good);
    const [forged, ...rest] = [...stand.logs.miner];
    await stand.store('maker', 'miner', [{ ...forged!, height: 1 }, ...rest]);
    stand.sides.maker.ask();
    await stand.tell();
    await stand.tell();
    expect(stand.verdict).not.toBe('maker');
    await stand.stop();
  });

  it('pays no other script than that of the channel which both signed for', async () => {
    const stand = await hoursOf(IDLE);
    // The miner shows a channel in which the maker's bond would be paid to the miner.
    const { params, sides, contractId } = stand;
    sides.miner.params = { ...params, makerPayoutScript: p2wpkh('thief') };
    sides.miner.restart();
    sides.maker.ask();
    await stand.tell();
    await stand.tell();
    expect(sides.maker.link.viewOf(contractId)?.channel).toBe('differs');
    expect(sides.maker.answers.size).toBe(0);
    await stand.commit('maker');
    await stand.time.advance(60_000);
    expect(sides.maker.link.viewOf(contractId)?.channel).toBe('shared');
    expect(spends(stand, 'maker')).toHaveLength(2);
    await stand.stop();
  });

  it('signs for no coin but a bond of the contract, and to one side for good', async () => {
    const stand = await hoursOf(IDLE);
    await stand.tell();
    const { params, state, contractId } = stand;
    const [coin] = bondCoins(params, state.workHashes, 0);
    const psbtFor = (payee: MinuteRole, changes: object = {}): string => {
      const spend = { coin: { ...coin!, ...changes }, payee, feeRateSatPerKvb: RATE };
      return exportPsbt(bondSpendRequest(params, spend), []);
    };
    const sign = (role: MinuteRole | 'stranger', psbt: string): Promise<string> =>
      asked(stand, role, 'auditor.sign', { contractId, owner: 'miner', feeRateSatPerKvb: RATE, psbt });
    // Of another channel, and to the side that is wrong.
    const others = makeParams({}, params.terms);
    expect(others.contractId).toBe(contractId);
    const strange = Uint8Array.from(coin!.script, (byte, at) => (at === 5 ? byte ^ 1 : byte));
    expect(await sign('maker', psbtFor('maker', { script: strange }))).toBe('bad_psbt');
    expect(await sign('maker', psbtFor('miner'))).toBe('bad_psbt');
    expect(await sign('miner', psbtFor('miner'))).toBe('not_ruled');
    expect(await sign('stranger', psbtFor('maker'))).toBe('unknown_channel');
    expect(await sign('maker', psbtFor('maker'))).toBe('taken');
    expect(stand.auditor.stats).toMatchObject({ signed: 1, refused: 1 });
    await stand.stop();
  });

  it('has on its disk to whom it gives the bonds before it signs', async () => {
    const stand = await hoursOf(IDLE);
    await stand.tell();
    stand.sides.maker.ask();
    stand.auditorLedger.failNext(new CodedError('ledger_io'));
    await stand.tell(['maker']);
    expect(stand.sides.maker.answers.size).toBe(0);
    await stand.stop();
  });

  it('refuses contracts of another auditor, without rules of delivery, or not signed by both', async () => {
    const stand = new Stand();
    await stand.start();
    const show = (changes: object, role: MinuteRole | 'stranger' = 'miner'): Promise<string> => {
      const { contractId, terms, params, contract } = stand;
      return asked(stand, role, 'auditor.contract', {
        ...{ contractId, channel: params, ...contract, terms },
        ...changes,
      });
    };
    expect(await show({})).toBe('taken');
    expect(await show({}, 'stranger')).toBe('unknown_channel');
    expect(await show({ contractId: '11'.repeat(32) })).toBe('unknown_channel');
    const other = new Stand(auditedTerms({ nonceHex: '11'.repeat(16) }));
    expect(await show({ contractId: other.contractId, terms: other.terms })).toBe('bad_signature');
    const plain = new Stand(makeTermsV3());
    const { contractId, terms, params, contract } = plain;
    expect(await show({ contractId, channel: params, ...contract, terms })).toBe('bad_terms');
    await stand.stop();
  });

  it('takes no minute that is still to come, and none that does not follow', async () => {
    const stand = await hoursOf(GOOD, 10);
    await stand.tell();
    const { contractId, logs } = stand;
    const last = logs.miner.at(-1)!;
    const tell = (report: MinuteReport): Promise<string> =>
      asked(stand, 'miner', 'auditor.minutes', { contractId, role: 'miner', reports: [report] });
    expect(await tell({ ...last, minute: last.minute + 5000 })).toBe('protocol');
    expect(await tell({ ...last, minute: last.minute + 1, workHashes: 0n })).toBe('protocol');
    expect(await tell({ ...last, minute: last.minute + 1 })).toBe('taken');
    await stand.stop();
  });
});

describe('terms that name an auditor, before anybody signs them', () => {
  /** The term that is refused, why, and what would be taken. */
  const refused = async (stand: Stand, terms = stand.terms): Promise<unknown> => {
    try {
      await stand.sides.miner.link.assertNamed(terms);
      return 'taken';
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return [error.code, error.meta['path'], error.meta['allowed']];
    }
  };
  const other = '02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';

  it('are refused with the term where its program has another key', async () => {
    const stand = new Stand();
    await stand.start();
    expect(await refused(stand)).toBe('taken');
    const { bonds } = auditedTerms();
    if (bonds?.bondMode !== 'auditor') throw new Error('no auditor');
    const named = auditedTerms({ bonds: { ...bonds, auditorKeyHex: other } });
    const key = stand.auditor.auditorKeyHex;
    expect(await refused(stand, named)).toEqual(['bad_terms', 'bonds.auditor_key', key]);
    expect(await refused(stand, makeTermsV3())).toBe('taken');
    await stand.stop();
  });

  it('are refused with the term where it does not answer, and taken once it does', async () => {
    const stand = new Stand();
    const away = ['bad_terms', 'bonds.auditor_key', 'once it answers'];
    expect(await refused(stand)).toEqual(away);
    await stand.start();
    // Whoever asks again at once is told what is known.
    expect(await refused(stand)).toEqual(away);
    await stand.time.advance(60_000);
    expect(await refused(stand)).toBe('taken');
    await stand.stop();
  });

  it('cost an auditor one question a connection, however often they are asked for', async () => {
    const stand = new Stand();
    await stand.start();
    for (let time = 0; time < 200; time += 1) expect(await refused(stand)).toBe('taken');
    expect(stand.auditor.stats).toMatchObject({ connections: 1, limitHits: {} });
    await stand.stop();
  });
});
