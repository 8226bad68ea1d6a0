import { expect, it } from 'vitest';
import { writeLadder } from '../../src/miner/miner-ladder.ts';
import type { MinerStore } from '../../src/miner/miner-store.ts';
import type { LadderRequest, LadderWriter } from '../../src/settlement/ladder-writer.ts';

const keys = { forChannel: (index: number) => `keys of channel ${index}` };
const OPEN = {
  best: { n: 3 },
  assembled: { params: 'of the channel' },
  contract: { channelIndex: 7 },
  options: { margins: 'of the config' },
  isSpent: false,
  state: { watch: { isOver: false }, close: undefined },
  contractId: 'c0',
};

/** What is done with the ladder files of a store in this place. */
function done(changes: object, hasWriter = true): unknown[] {
  const calls: unknown[] = [];
  const ladders = {
    write: (request: LadderRequest) => void calls.push(request),
    remove: (contractId: string) => void calls.push(`remove ${contractId}`),
  };
  const deps = { signer: keys, ...(hasWriter ? { ladders } : {}) };
  writeLadder(
    { ...OPEN, ...changes } as unknown as MinerStore,
    deps as unknown as { ladders: LadderWriter; signer: never },
  );
  return calls;
}

const written = { params: 'of the channel', state: { n: 3 }, margins: 'of the config' };

it('a ladder is of the newest state, with the keys of the channel', () => {
  expect(done({})).toEqual([{ ...written, signer: 'keys of channel 7', isClosing: false }]);
});

it('says that this side closes where it does so alone', () => {
  const closing = (kind: string): object => ({ state: { watch: { isOver: false }, close: { kind } } });
  expect(done(closing('state'))).toMatchObject([{ isClosing: true }]);
  expect(done(closing('together'))).toMatchObject([{ isClosing: false }]);
});

it.each([
  ['a state', { best: undefined }],
  ['a channel', { assembled: undefined }],
  ['a contract', { contract: undefined }],
  ['a coin that is not spent', { isSpent: true }],
])('is not written without %s', (_, changes) => {
  expect(done(changes)).toEqual([]);
});

it('goes once the channel is over, and not before', () => {
  const over = { state: { watch: { isOver: true }, close: undefined }, isSpent: true };
  expect(done(over)).toEqual(['remove c0']);
  expect([done(over, false), done({}, false)]).toEqual([[], []]);
});
