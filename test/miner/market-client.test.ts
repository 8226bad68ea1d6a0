import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { type CodedError, codeOf } from '../../src/base/errors.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import { minerContributionSat } from '../../src/channel/params.ts';
import { nodeIdBytes } from '../../src/channel/signer.ts';
import { termsOfQuote } from '../../src/contract/quote.ts';
import { contractIdOf, type TermsV3 } from '../../src/contract/terms.ts';
import { askQuote, proposeTerms, requestOf, type Sale } from '../../src/miner/market-client.ts';
import { codecsOf, type MethodName, type Params, type Result } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { signTerms } from '../../src/settlement/opening.ts';
import { makerSigner, minerSigner, strangerSigner } from '../channel/fixtures.ts';

const EH = 10n ** 18n;
const HEIGHT = 900_000;
const QUOTE_ID = 'ab'.repeat(16);
const [minerNodeId, makerNodeId] = [minerSigner, makerSigner].map((each) => toHex(nodeIdBytes(each)));
const sale: Sale = {
  ...{ workTotalHashes: 100n * EH, stepHashes: EH, maxUnpaidSteps: 3, expiryBlocks: 1548 },
  ...{ shareDifficulty: 65_536, hardestShare: 131_072, floorMsatPerEh: 480_000n, maxDepth: 6 },
};
const place = { network: 'regtest', makerNodeId: makerNodeId!, height: HEIGHT } as const;
const binding: Extract<TermsV3['binding'], { readonly type: 'work' }> = {
  ...{ type: 'work', extranonce2Bytes: 8, withdrawalsPerBlock: 480, solutionsPerMinute: 1200 },
  foreignChain: false,
};

/** What an honest maker quotes. */
function quoted(changes: Partial<TermsV3> = {}): TermsV3 {
  const terms = termsOfQuote(requestOf(sale, { binding: 'work' }), {
    ...{ network: 'regtest', minerNodeId: minerNodeId!, makerNodeId: makerNodeId!, binding },
    ...{
      price: { type: 'fixed', msatPerEh: 485_000n },
      height: HEIGHT,
      minDepth: 3,
      staleGraceSeconds: 30,
    },
    nonceHex: '11'.repeat(16),
  });
  return { ...terms, ...changes };
}

/** A maker that answers one method so. */
function maker<M extends MethodName>(method: M, answer: (params: Params<M>) => Result<M>): RpcPeer {
  const { params, result } = codecsOf(method);
  const request = async (asked: string, words: unknown): Promise<unknown> => {
    expect(asked).toBe(method);
    return result.print(answer(params.parse(words)));
  };
  return { request, features: new Set() } as unknown as RpcPeer;
}

describe('a quote that is asked for', () => {
  const ask = (terms: TermsV3, depositSat: bigint): Promise<string> =>
    askQuote(
      maker('market.quote', () => ({ quoteId: QUOTE_ID, terms, validForMs: 60_000, depositSat })),
      { sale, binding: 'work' },
      place,
      minerSigner,
    ).then(
      (quote) => quote.quoteId,
      (error: unknown) => String((error as CodedError).meta['path']),
    );

  it('is in the words of the sale: one target for own jobs, a range for those of the maker', () => {
    const hex = (difficulty: number): string => targetToHex(targetOfDifficulty(difficulty));
    const { shareDifficulty: _, hardestShare: __, floorMsatPerEh: ___, maxDepth: ____, ...words } = sale;
    const asked = { side: 'sell', ...words };
    expect(requestOf(sale, { binding: 'work' })).toEqual({
      ...{ ...asked, binding: 'work' },
      target: { easiestHex: hex(65_536), hardestHex: hex(131_072) },
    });
    expect(requestOf(sale, { binding: 'payout' })).toEqual({
      ...{ ...asked, binding: 'payout' },
      target: { easiestHex: hex(65_536), hardestHex: hex(65_536) },
    });
  });

  it('asks for the rules of delivery beside the rate, the start and the duration', () => {
    const rate = { committed: EH / 1000n, min: EH / 1000n, max: EH / 800n };
    const delivery = {
      ...{ windowMinutes: 1440, tolerancePpm: 20_000, curtailmentBlocks: 0, cureBlocks: 24 },
      falseDefaultAlphaPpm: 1000,
    };
    const said = { rate, delivery, start: { afterBlocks: 10, withinBlocks: 20 }, durationBlocks: 1000 };
    expect(requestOf({ ...sale, ...said }, { binding: 'work' })).toMatchObject(said);
  });

  it('is not taken of a maker that tells its log to another auditor than the own side does', async () => {
    const terms = quoted();
    const given = { quoteId: QUOTE_ID, terms, validForMs: 60_000, depositSat: minerContributionSat(terms) };
    const auditor = { nodeId: 'ab'.repeat(32), endpoint: 'auditor.example:7334' };
    const ask = (auditorNodeId: string | undefined): Promise<unknown> =>
      askQuote(
        maker('market.quote', () => ({ ...given, auditor })),
        { sale, binding: 'work' },
        { ...place, auditorNodeId },
        minerSigner,
      ).then(
        (quote) => quote.quoteId,
        (error: unknown) => (error as CodedError).meta,
      );
    expect(await ask(auditor.nodeId)).toBe(QUOTE_ID);
    expect(await ask(undefined)).toBe(QUOTE_ID);
    const allowed = 'cd'.repeat(32);
    expect(await ask(allowed)).toEqual({ path: 'auditor.node_id', got: auditor.nodeId, allowed });
  });

  it('is taken where it is of the terms that were asked for, with their deposit', async () => {
    const terms = quoted();
    expect(await ask(terms, minerContributionSat(terms))).toBe(QUOTE_ID);
    expect(await ask(terms, minerContributionSat(terms) + 1n)).toBe('deposit_sat');
    expect(await ask(terms, 0n)).toBe('deposit_sat');
  });

  it.each<[string, Partial<TermsV3>]>([
    ['less work', { workTotalHashes: 99n * EH }],
    ['another miner', { minerNodeId: '22'.repeat(32) }],
    ['another maker', { makerNodeId: '22'.repeat(32) }],
    ['another network', { network: 'mainnet' }],
    ['a deeper funding than may be waited for', { minDepth: 7 }],
    ['less grace than may be served', { staleGraceSeconds: 9 }],
    ['jobs with less extranonce2', { binding: { ...binding, extranonce2Bytes: 7 } }],
    ['more withdrawals', { binding: { ...binding, withdrawalsPerBlock: 481 } }],
    ['fewer solutions', { binding: { ...binding, solutionsPerMinute: 1199 } }],
    ['a foreign chain', { binding: { ...binding, foreignChain: true } }],
    ['another binding', { binding: { type: 'none' } }],
  ])('is not where it is of %s', async (_, changes) => {
    const terms = quoted(changes);
    expect(await ask(terms, minerContributionSat(terms))).not.toBe(QUOTE_ID);
  });
});

describe('a quote that is taken', () => {
  const terms = quoted();
  const take = (answer: Partial<Result<'contract.propose'>>): Promise<unknown> =>
    proposeTerms(
      maker('contract.propose', (asked) => {
        expect(asked).toEqual({ terms, quoteId: QUOTE_ID, signature: asked.signature });
        return { contractId: contractIdOf(terms), signature: signTerms(terms, makerSigner), ...answer };
      }),
      { quoteId: QUOTE_ID, terms },
      minerSigner,
    ).catch(codeOf);

  it('is a contract once the maker has signed the very terms', async () => {
    expect(await take({})).toBe(terms);
    expect(await take({ contractId: '33'.repeat(32) })).toBe('protocol');
    expect(await take({ signature: signTerms(terms, strangerSigner) })).toBe('bad_signature');
    const other = quoted({ minDepth: 4 });
    expect(await take({ signature: signTerms(other, makerSigner) })).toBe('bad_signature');
  });
});
